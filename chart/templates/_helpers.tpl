{{- define "catalyst.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "catalyst.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "catalyst.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "catalyst.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "catalyst.selector" -}}
app.kubernetes.io/name: {{ include "catalyst.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "catalyst.labels" -}}
{{ include "catalyst.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "catalyst.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}{{ .repository }}@{{ .digest }}{{- else -}}{{ .repository }}:{{ default $.Chart.AppVersion .tag }}{{- end -}}
{{- end -}}
{{- end -}}

{{- define "catalyst.claim" -}}
{{- default (include "catalyst.fullname" .) .Values.persistence.existingClaim -}}
{{- end -}}

{{- define "catalyst.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "catalyst.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- /* "true" where the host asks the cluster who a token belongs to, and so needs one of its own. */ -}}
{{- define "catalyst.reviewsTokens" -}}
{{- if eq (toString .Values.env.CATALYST_AUTH) "kubernetes" -}}true{{- end -}}
{{- end -}}

{{- /* Port of the API inside of the Pod. */ -}}
{{- define "catalyst.port" -}}
{{- $listen := toString (default "" .Values.env.CATALYST_LISTEN) -}}
{{- if $listen -}}{{ regexFind "[0-9]+$" $listen }}{{- else -}}{{ toString (default "" .Values.env.PORT) }}{{- end -}}
{{- end -}}

{{- /* Port of the metrics inside of the Pod; empty where they have none of their own. */ -}}
{{- define "catalyst.metricsPort" -}}
{{- regexFind "[0-9]+$" (toString (default "" .Values.env.CATALYST_METRICS_LISTEN)) -}}
{{- end -}}

{{- /* Ports of what the settings name by URL, as a list: a proxy, a collector, the pool-domain manager, who judges tokens. */ -}}
{{- define "catalyst.namedPorts" -}}
{{- $ports := list -}}
{{- range list "HTTPS_PROXY" "OTEL_EXPORTER_OTLP_ENDPOINT" "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" "POOL_DOMAIN_MANAGER_URL" "CATALYST_OIDC_ISSUER" "CATALYST_AUTH_KUBERNETES_API" -}}
{{- with toString (default "" (index $.Values.env .)) -}}
{{- $authority := regexFind "^[a-z0-9]+://[^/?#]+" . -}}
{{- $port := regexFind ":[0-9]+$" $authority | trimPrefix ":" -}}
{{- $ports = append $ports (default (ternary 80 443 (hasPrefix "http://" .)) $port | int) -}}
{{- end -}}
{{- end -}}
{{- $ports | uniq | sortAlpha | toYaml -}}
{{- end -}}

{{- /* Seconds that the host may take to go down; a test holds it to the host's own limits. */ -}}
{{- define "catalyst.wayDown" -}}71{{- end -}}

{{- /* Variables that the chart or the host has a meaning for: twice in a container's environment, the last one would count. */ -}}
{{- define "catalyst.own" -}}
^(HOME|PORT|CATALYST_.*|DYNADOT_.*|CORS_ORIGIN|POOL_DOMAIN_MANAGER_URL|DOMAIN|SUBDOMAIN|LB_IP|HTTPS_PROXY|NO_PROXY|SSL_CERT_FILE|RUST_LOG|OTEL_(EXPORTER_OTLP|TRACES)_.*|OTEL_SDK_DISABLED|OTEL_SERVICE_NAME|OTEL_RESOURCE_ATTRIBUTES)$
{{- end -}}

{{- /* Where nodes reach the API: what was said, else what ingress or route comes to. */ -}}
{{- define "catalyst.publicUrl" -}}
{{- if .Values.env.CATALYST_API_PUBLIC_URL -}}
{{- .Values.env.CATALYST_API_PUBLIC_URL -}}
{{- else if .Values.ingress.enabled -}}
{{- printf "%s://%s%s" (ternary "https" "http" (not (empty .Values.ingress.tlsSecret))) .Values.ingress.host (trimSuffix "/" .Values.ingress.path) -}}
{{- else if and .Values.httpRoute.enabled .Values.httpRoute.hostnames -}}
{{- printf "https://%s%s" (first .Values.httpRoute.hostnames) (trimSuffix "/" .Values.httpRoute.path) -}}
{{- end -}}
{{- end -}}

{{- /* What the schema cannot see: values that fit one by one and not together. */ -}}
{{- define "catalyst.check" -}}
{{- $auth := toString .Values.env.CATALYST_AUTH -}}
{{- $files := include "catalyst.files" . | fromYaml -}}
{{- if and (eq $auth "token") (not $files.CATALYST_AUTH_TOKENS) -}}
{{- fail "files.CATALYST_AUTH_TOKENS: must name the Secret of the tokens where env.CATALYST_AUTH is token" -}}
{{- end -}}
{{- if and (eq $auth "oidc") (not (and .Values.env.CATALYST_OIDC_ISSUER .Values.env.CATALYST_OIDC_AUDIENCE)) -}}
{{- fail "env.CATALYST_OIDC_ISSUER and env.CATALYST_OIDC_AUDIENCE: must be set where env.CATALYST_AUTH is oidc" -}}
{{- end -}}
{{- if and (has $auth (list "kubernetes" "oidc")) (not .Values.env.CATALYST_AUTH_SCOPES) -}}
{{- fail (printf "env.CATALYST_AUTH_SCOPES: must say who may do what where env.CATALYST_AUTH is %s, such as group:platform=admin" $auth) -}}
{{- end -}}
{{- if not (include "catalyst.port" .) -}}
{{- fail "env.PORT: must be set where env.CATALYST_LISTEN is not; without both the host listens on loopback, where nobody reaches it" -}}
{{- end -}}
{{- if eq (include "catalyst.metricsPort" .) (include "catalyst.port" .) -}}
{{- fail "env.CATALYST_METRICS_LISTEN: must have another port than the API, whose address cannot be taken twice" -}}
{{- end -}}
{{- if and (eq (default "" .Values.env.CATALYST_SEAL) "all") (not (hasKey .Values.secretEnv "CATALYST_STATE_KEY")) -}}
{{- fail "env.CATALYST_SEAL: all needs a key to seal with (secretEnv.CATALYST_STATE_KEY)" -}}
{{- end -}}
{{- range .Values.networkPolicy.egressPorts -}}
{{- if and (ge (int .) 29100) (le (int .) 29199) -}}
{{- fail "networkPolicy.egressPorts: must not hold ports of 29100 to 29199, which runs of OpenTofu may connect to on every address" -}}
{{- end -}}
{{- end -}}
{{- $down := int (add .Values.preStopSeconds (include "catalyst.wayDown" . | int)) -}}
{{- if lt (int .Values.terminationGracePeriodSeconds) $down -}}
{{- fail (printf "terminationGracePeriodSeconds: must be %d at least: preStopSeconds, then %s s in which the host goes down" $down (include "catalyst.wayDown" .)) -}}
{{- end -}}
{{- if and (eq $auth "kubernetes") (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) -}}
{{- fail "serviceAccount.name: must name an account where none is created and env.CATALYST_AUTH is kubernetes; else every Pod of the namespace might ask for reviews of tokens" -}}
{{- end -}}
{{- if and .Values.serviceMonitor.enabled (not (include "catalyst.metricsPort" .)) -}}
{{- fail "env.CATALYST_METRICS_LISTEN: must be an address such as [::]:9090 where serviceMonitor is enabled; the API's own asks who calls" -}}
{{- end -}}
{{- if and .Values.ingress.enabled .Values.httpRoute.enabled -}}
{{- fail "ingress.enabled and httpRoute.enabled: one way in is enough; their public URLs would differ" -}}
{{- end -}}
{{- range $name, $value := .Values.env -}}
{{- if and (ne (toString $value) "") (or (index $.Values.secretEnv $name) (hasKey $files $name)) -}}
{{- fail (printf "env.%s: is set under secretEnv or files, too; it can come from one place only" $name) -}}
{{- end -}}
{{- end -}}
{{- range .Values.extraEnv -}}
{{- if regexMatch (include "catalyst.own" $) .name -}}
{{- fail (printf "extraEnv: %s is the host's own; it belongs under env, secretEnv or files" .name) -}}
{{- end -}}
{{- end -}}
{{- range $name, $file := $files -}}
{{- if and $file.secret $file.configMap -}}
{{- fail (printf "files.%s: names a Secret and a ConfigMap; it can come from one place only" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* The container's environment, in an order of its own so that two renders are the same text. */ -}}
{{- define "catalyst.env" -}}
{{- $env := deepCopy .Values.env -}}
{{- $_ := set $env "CATALYST_API_PUBLIC_URL" (include "catalyst.publicUrl" .) -}}
{{- if ne .Values.plugins.source "built-in" -}}{{- $_ := set $env "CATALYST_PLUGINS_DIR" "/plugins" -}}{{- end -}}
{{- if ne .Values.providerMirror.source "none" -}}{{- $_ := set $env "CATALYST_PROVIDER_MIRROR" "/providers" -}}{{- end -}}
- {name: HOME, value: /home/nonroot}
{{- range $name, $value := $env }}
{{- if ne (toString $value) "" }}
- {name: {{ $name }}, value: {{ toString $value | quote }}}
{{- end }}
{{- end }}
{{- range $name, $from := .Values.secretEnv }}
{{- if $from }}
- name: {{ $name }}
  valueFrom:
    secretKeyRef: {name: {{ $from.name }}, key: {{ $from.key }}, optional: {{ default false $from.optional }}}
{{- end }}
{{- end }}
{{- range $name, $file := include "catalyst.files" . | fromYaml }}
- {name: {{ $name }}, value: {{ printf "/etc/catalyst/%s/%s" (include "catalyst.fileVolume" $name) $file.key | quote }}}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* The files that are mounted, as YAML. Nothing waits for tokens that nobody asks for. */ -}}
{{- define "catalyst.files" -}}
{{- $kept := dict -}}
{{- range $name, $file := .Values.files -}}
{{- if and $file (or (ne $name "CATALYST_AUTH_TOKENS") (eq (toString $.Values.env.CATALYST_AUTH) "token")) -}}
{{- $_ := set $kept $name $file -}}
{{- end -}}
{{- end -}}
{{- toYaml $kept -}}
{{- end -}}

{{- define "catalyst.fileVolume" -}}
{{- . | lower | replace "_" "-" -}}
{{- end -}}

{{- /* A volume of an image or a claim: (dict "name" … "from" .Values.plugins). */ -}}
{{- define "catalyst.volume" -}}
{{- $from := .from -}}
{{- if eq $from.source "image" }}
- name: {{ .name }}
  image:
    reference: {{ required (printf "%s.image.reference: must name an image where %s.source is image" .values .values) $from.image.reference }}
    pullPolicy: {{ $from.image.pullPolicy }}
{{- else if eq $from.source "claim" }}
- name: {{ .name }}
  persistentVolumeClaim:
    claimName: {{ required (printf "%s.claim.name: must name a claim where %s.source is claim" .values .values) $from.claim.name }}
    readOnly: true
{{- else if eq $from.source "init" }}
- name: {{ .name }}
  emptyDir: {sizeLimit: 1Gi}
{{- end }}
{{- end -}}

{{- define "catalyst.mount" -}}
{{- $from := .from -}}
{{- if has $from.source (list "image" "claim" "init") }}
- name: {{ .name }}
  mountPath: /{{ .name }}
  readOnly: true
{{- $part := index $from $from.source }}
{{- with $part.subPath }}
  subPath: {{ . }}
{{- end }}
{{- end }}
{{- end -}}
