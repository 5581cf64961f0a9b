{{/* What every container of Airflow gets, in the order in which the official chart gives it. */}}
{{- define "stand-in.env" -}}
{{- with .Values.fernetKeySecretName }}
- name: AIRFLOW__CORE__FERNET_KEY
  valueFrom: {secretKeyRef: {name: {{ . }}, key: fernet-key}}
{{- end }}
{{- with .Values.data.metadataSecretName }}
- name: AIRFLOW__DATABASE__SQL_ALCHEMY_CONN
  valueFrom: {secretKeyRef: {name: {{ . }}, key: connection}}
{{- end }}
{{- with .Values.apiSecretKeySecretName }}
- name: AIRFLOW__API__SECRET_KEY
  valueFrom: {secretKeyRef: {name: {{ . }}, key: api-secret-key}}
{{- end }}
{{- with .Values.jwtSecretName }}
- name: AIRFLOW__API_AUTH__JWT_SECRET
  valueFrom: {secretKeyRef: {name: {{ . }}, key: jwt-secret}}
{{- end }}
{{- range .Values.env }}
- name: {{ .name }}
  value: {{ tpl (toString .value) $ | quote }}
{{- end }}
{{- range .Values.secret }}
- name: {{ .envName }}
  valueFrom: {secretKeyRef: {name: {{ .secretName }}, key: {{ .secretKey }}}}
{{- end }}
{{- with .Values.extraEnv }}
{{ tpl . $ }}
{{- end }}
{{- end }}

{{/* One container: (dict "root" $ "of" values "name" NAME "args" [...]). */}}
{{- define "stand-in.container" -}}
{{- $root := .root -}}
- name: {{ .name }}
  image: "{{ $root.Values.images.airflow.repository }}:{{ $root.Values.images.airflow.tag }}"
  imagePullPolicy: {{ $root.Values.images.airflow.pullPolicy }}
  {{- with .args }}
  args: {{ toJson . }}
  {{- end }}
  {{- with .ports }}
  ports: {{ toJson . }}
  {{- end }}
  {{- with .probe }}
  readinessProbe: {{ toJson . }}
  {{- end }}
  securityContext: {{ toJson (default $root.Values.securityContexts.containers ((.of.securityContexts).container)) }}
  resources: {{ toJson (default dict .of.resources) }}
  {{- with $root.Values.extraEnvFrom }}
  envFrom:
  {{- tpl . $root | nindent 2 }}
  {{- end }}
  env:
  {{- with .first }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- include "stand-in.env" $root | trim | nindent 2 }}
  {{- with .of.env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  volumeMounts:
  - {name: config, mountPath: "{{ $root.Values.airflowHome }}/airflow.cfg", subPath: airflow.cfg, readOnly: true}
  - {name: config, mountPath: "{{ $root.Values.airflowHome }}/pod_templates/pod_template_file.yaml", subPath: pod_template_file.yaml, readOnly: true}
  {{- if not .noLogs }}
  - {name: logs, mountPath: "{{ $root.Values.airflowHome }}/logs"}
  {{- end }}
  {{- with concat $root.Values.volumeMounts (default list .of.extraVolumeMounts) }}
  {{- tpl (toYaml .) $root | nindent 2 }}
  {{- end }}
{{- end }}

{{/* A pod's spec but for its containers: (dict "root" $ "of" values). */}}
{{- define "stand-in.around" -}}
{{- $root := .root -}}
securityContext: {{ toJson (default (merge (dict "runAsUser" $root.Values.uid "fsGroup" $root.Values.gid) $root.Values.securityContexts.pod) ((.of.securityContexts).pod)) }}
volumes:
- name: config
  configMap: {name: "{{ $root.Release.Name }}-config"}
{{- if not .noLogs }}
- name: logs
  emptyDir: {}
{{- end }}
{{- with concat $root.Values.volumes (default list .of.extraVolumes) }}
{{ tpl (toYaml .) $root }}
{{- end }}
{{- end }}

{{- define "stand-in.wait" -}}
{{- include "stand-in.container" (dict "root" .root "of" (dict "extraVolumeMounts" .of.extraVolumeMounts) "noLogs" .noLogs "name" "wait-for-airflow-migrations" "args" (list "airflow" "db" "check-migrations" "--migration-wait-timeout=300")) }}
{{- with .of.extraInitContainers }}
{{ tpl (toYaml .) $.root }}
{{- end }}
{{- end }}
