{{- define "bellwire.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "bellwire.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "bellwire.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "bellwire.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "bellwire.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "bellwire.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "bellwire.selector" -}}
app.kubernetes.io/name: {{ include "bellwire.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "bellwire.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/name: {{ include "bellwire.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The labels of the pods of a component, without those that change with the chart: {root, component} */}}
{{- define "bellwire.podLabels" -}}
{{ include "bellwire.selector" . }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "bellwire.image" -}}
{{- $image := .root.Values.image }}
{{- $own := (index .root.Values .component).tag }}
{{- $repository := required "image.repository is required: there is no public image" $image.repository }}
{{- if $own }}
{{- printf "%s:%s" $repository $own }}
{{- else if $image.digest }}
{{- printf "%s@%s" $repository $image.digest }}
{{- else }}
{{- printf "%s:%s" $repository (default .root.Chart.AppVersion $image.tag) }}
{{- end }}
{{- end }}

{{/* A variable from the Secret: {secret, name, optional} */}}
{{- define "bellwire.fromSecret" -}}
- name: {{ .name }}
  valueFrom:
    secretKeyRef:
      name: {{ .secret }}
      key: {{ .name }}
      {{- if .optional }}
      optional: true
      {{- end }}
{{- end }}

{{/* The environment of a component: {root, component} */}}
{{- define "bellwire.env" -}}
{{- $values := .root.Values }}
{{- $own := index $values .component }}
{{- $secret := required "existingSecret is required: the name of a Secret with the passwords" $values.existingSecret }}
{{- range $values.secretKeys.required }}
{{ include "bellwire.fromSecret" (dict "secret" $secret "name" .) }}
{{- end }}
{{- range concat $values.secretKeys.optional (default list (index $values.secretKeys .component)) }}
{{ include "bellwire.fromSecret" (dict "secret" $secret "name" . "optional" true) }}
{{- end }}
{{- range $name, $value := $values.config }}
- name: {{ $name }}
  value: {{ $value | toString | quote }}
{{- end }}
- name: BELLWIRE_HOST
  value: {{ $values.listen | quote }}
{{- if eq .component "api" }}
- name: BELLWIRE_PORT
  value: "8000"
- name: BELLWIRE_WORKERS
  value: {{ $own.workers | quote }}
- name: BELLWIRE_DRAIN_DELAY_SECONDS
  value: {{ $own.drainDelaySeconds | quote }}
- name: BELLWIRE_DRAIN_SECONDS
  value: {{ $own.drainSeconds | quote }}
{{- else if eq .component "consumer" }}
- name: BELLWIRE_CONSUMER_PORT
  value: "8001"
{{- end }}
{{- with concat $values.extraEnv $own.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What the containers of all components share: {root, component} */}}
{{- define "bellwire.container" -}}
name: {{ .component }}
image: {{ include "bellwire.image" . }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
args: [{{ .component }}]
env:
  {{- include "bellwire.env" . | trim | nindent 2 }}
{{- with .root.Values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
resources:
  {{- toYaml (index .root.Values .component).resources | nindent 2 }}
securityContext:
  {{- toYaml .root.Values.securityContext | nindent 2 }}
volumeMounts:
  - name: tmp
    mountPath: /tmp
  {{- with .root.Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* What the pods of all components share: {root, component} */}}
{{- define "bellwire.pod" -}}
{{- $own := index .root.Values .component -}}
automountServiceAccountToken: false
# A Service named bellwire would otherwise put BELLWIRE_PORT into the environment.
enableServiceLinks: false
securityContext:
  {{- toYaml .root.Values.podSecurityContext | nindent 2 }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $own.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $selector := include "bellwire.selector" . }}
{{- with $own.topologySpread }}
topologySpreadConstraints:
  {{- range . }}
  - {{ toYaml . | nindent 4 | trim }}
    labelSelector:
      matchLabels:
        {{- $selector | nindent 8 }}
  {{- end }}
{{- end }}
volumes:
  - name: tmp
    emptyDir: {medium: Memory, sizeLimit: 64Mi}
  {{- with .root.Values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "bellwire.probes" -}}
startupProbe:
  httpGet: {path: /health/live, port: http}
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /health/live, port: http}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
# Its own checks take up to 3 s. A pod that drains fails it at once and stays in service for open streams.
readinessProbe:
  httpGet: {path: /health/ready, port: http}
  periodSeconds: 5
  timeoutSeconds: 4
  failureThreshold: 1
{{- end }}
