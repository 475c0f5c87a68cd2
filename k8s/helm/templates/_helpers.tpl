{{- define "streamer.image" -}}
{{- with .Values.image -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ with .digest }}@{{ . }}{{ end }}
{{- end -}}
{{- end -}}

{{- define "streamer.configuration" -}}
{{- $example := ternary "files/embedded.yaml" "files/base.yaml" (eq .Values.overlay "embedded") -}}
{{- .Values.configuration | default (.Files.Get $example) -}}
{{- end -}}

{{/* The name ends in a hash of the content. So a changed configuration starts a rollout. */}}
{{- define "streamer.configMap" -}}
streamer-{{ include "streamer.configuration" . | sha256sum | trunc 10 }}
{{- end -}}

{{/* The volume of k8s/components/states. */}}
{{- define "streamer.statesMount" -}}
- mountPath: /var/lib/streamer/states
  name: states
{{- end -}}

{{- define "streamer.statesVolume" -}}
- ephemeral:
    volumeClaimTemplate:
      spec:
        accessModes:
        - ReadWriteOncePod
        resources:
          requests:
            storage: {{ .Values.states.size | quote }}
        {{- with .Values.states.className }}
        storageClassName: {{ . | quote }}
        {{- end }}
  name: states
{{- end -}}
