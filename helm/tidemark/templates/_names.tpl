{{/* Names, labels, and what the settings say; all of it also works in the chart of Airflow, which has the release and `global`. */}}

{{- define "tidemark.labels" -}}
app.kubernetes.io/name: tidemark
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* What selects the pods of a component: (list . "watch") */}}
{{- define "tidemark.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: tidemark
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "tidemark.image" -}}
{{ .Values.airflow.images.airflow.repository }}:{{ .Values.airflow.images.airflow.tag }}
{{- end }}

{{- define "tidemark.pullSecrets" -}}
{{- range .Values.airflow.imagePullSecrets }}
- name: {{ if kindIs "string" . }}{{ . }}{{ else }}{{ .name }}{{ end }}
{{- end }}
{{- end }}

{{/* The bundles as Airflow wants them. */}}
{{- define "tidemark.bundles" -}}
{{- $bundles := list -}}
{{- range .Values.global.tidemark.bundles -}}
{{- if .path -}}
{{- $bundles = append $bundles (dict "name" .name "classpath" "airflow.dag_processing.bundles.local.LocalDagBundle" "kwargs" (dict "path" .path "refresh_interval" (.refreshSeconds | default 60 | int))) -}}
{{- else -}}
{{- $kwargs := dict "tracking_ref" (.ref | default "main") "repo_url" .repository "refresh_interval" (.refreshSeconds | default 60 | int) -}}
{{- with .folder -}}{{- $_ := set $kwargs "subdir" . -}}{{- end -}}
{{- with .connection -}}{{- $_ := set $kwargs "git_conn_id" . -}}{{- end -}}
{{- $bundles = append $bundles (dict "name" .name "classpath" "airflow.providers.git.bundles.git.GitDagBundle" "kwargs" $kwargs) -}}
{{- end -}}
{{- end -}}
{{- $bundles | toJson -}}
{{- end }}

{{/* Environment variables of all pods, as far as they are no secrets. */}}
{{- define "tidemark.settings" -}}
{{- $given := .Values.global.tidemark -}}
TIDEMARK_ENVIRONMENT: {{ $given.environment | quote }}
TIDEMARK_STORE_URL: {{ $given.store | quote }}
TIDEMARK_LANDING_URL: {{ $given.landing | quote }}
{{- with $given.landingConnection }}
TIDEMARK_LANDING_CONNECTION: {{ . | quote }}
{{- end }}
{{- with $given.approvers }}
TIDEMARK_APPROVERS: {{ join "," . | quote }}
{{- end }}
{{- if $given.people }}
{{- $people := list }}
{{- range $mail, $name := $given.people }}{{ $people = append $people (printf "%s=%s" $mail $name) }}{{ end }}
TIDEMARK_PEOPLE: {{ join "," $people | quote }}
{{- end }}
TIDEMARK_ROLES: {{ ternary "on" "off" $given.roles | quote }}
TIDEMARK_FOUR_EYES: {{ ternary "on" "off" $given.fourEyes | quote }}
AIRFLOW__API__BASE_URL: {{ $given.url | quote }}
AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST: {{ include "tidemark.bundles" . | quote }}
AIRFLOW__LOGGING__REMOTE_LOGGING: "True"
AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER: {{ $given.logs | quote }}
AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID: {{ $given.logsConnection | quote }}
AWS_REGION: {{ $given.s3.region | quote }}
AWS_DEFAULT_REGION: {{ $given.s3.region | quote }}
{{- with $given.s3.endpoint }}
AWS_ENDPOINT_URL: {{ . | quote }}
{{- end }}
# Nobody outside is told anything.
GX_ANALYTICS_ENABLED: "False"
MLFLOW_DISABLE_TELEMETRY: "true"
DO_NOT_TRACK: "1"
{{- range $name, $value := $given.extra }}
{{ $name }}: {{ $value | toString | quote }}
{{- end }}
{{- end }}

{{/* The first twelve digits of what a Job is made from: a Job cannot be changed, so another one has another name. */}}
{{- define "tidemark.digest" -}}
{{ . | toString | sha256sum | trunc 12 }}
{{- end }}

{{/* Makes Tidemark's roles in Airflow's database; may be run again. */}}
{{- define "tidemark.rolesCommand" -}}
python -m tidemark.airflow.roles
{{- end }}

{{- define "tidemark.webserver" -}}
http://{{ .Release.Name }}-api-server:8080
{{- end }}

{{- define "tidemark.mlflowUrl" -}}
http://{{ .Release.Name }}-mlflow:5000
{{- end }}
