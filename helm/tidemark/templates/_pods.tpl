{{/* What all our pods have in common. */}}

{{- define "tidemark.podSecurity" -}}
runAsUser: 50000
runAsGroup: 0
fsGroup: 0
runAsNonRoot: true
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "tidemark.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* The beginning of a pod's spec. No process of ours asks Kubernetes anything. */}}
{{- define "tidemark.pod" -}}
serviceAccountName: {{ .Release.Name }}-tidemark
automountServiceAccountToken: false
enableServiceLinks: false
{{- with include "tidemark.pullSecrets" . }}
imagePullSecrets: {{- . | nindent 2 }}
{{- end }}
securityContext: {{- include "tidemark.podSecurity" . | nindent 2 }}
{{- with .Values.airflow.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.airflow.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The beginning of a container. */}}
{{- define "tidemark.container" -}}
image: {{ include "tidemark.image" . | quote }}
imagePullPolicy: {{ .Values.airflow.images.airflow.pullPolicy }}
securityContext: {{- include "tidemark.containerSecurity" . | nindent 2 }}
{{- end }}

{{/* Airflow writes its default settings where it finds none. */}}
{{- define "tidemark.writable" -}}
- {name: AIRFLOW_CONFIG, value: /tmp/airflow.cfg}
- {name: AIRFLOW__LOGGING__BASE_LOG_FOLDER, value: /tmp/logs}
{{- end }}

{{- define "tidemark.mounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: tidemark, mountPath: /var/lib/tidemark}
{{- end }}

{{- define "tidemark.volumes" -}}
- {name: tmp, emptyDir: {sizeLimit: 1Gi}}
- {name: tidemark, emptyDir: {sizeLimit: 5Gi}}
{{- end }}

{{- define "tidemark.environment" -}}
- configMapRef: {name: {{ .Release.Name }}-settings}
- secretRef: {name: {{ .Values.global.tidemark.secret }}}
{{- end }}

{{/* The URL of the ledger, and nothing else of the Secret. */}}
{{- define "tidemark.ledgerUrl" -}}
- name: TIDEMARK_LEDGER_URL
  valueFrom: {secretKeyRef: {name: {{ .Values.global.tidemark.secret }}, key: TIDEMARK_LEDGER_URL}}
{{- end }}

{{- define "tidemark.waitForLedger" -}}
- name: wait-for-ledger
  {{- include "tidemark.container" . | nindent 2 }}
  command: [tidemark, db, wait, --seconds, "900"]
  env: {{- include "tidemark.ledgerUrl" . | nindent 4 }}
  resources:
    requests: {cpu: 50m, memory: 128Mi}
    limits: {cpu: "1", memory: 512Mi}
  volumeMounts: {{- include "tidemark.mounts" . | nindent 4 }}
{{- end }}

{{/* How many of a deployment's pods there are: none while a backup is written into the databases. */}}
{{- define "tidemark.replicas" -}}
{{- $root := index . 0 -}}
{{- ternary 0 (int (index . 1)) (not (empty $root.Values.backup.restore.from)) -}}
{{- end }}
