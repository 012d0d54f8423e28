package main

import (
	"bytes"
	"fmt"
	"net/url"
	"sort"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// kubeconfigAnswer is what kubectl would make of one kubeconfig.
type kubeconfigAnswer struct {
	// Error is why it cannot be used; Stage is "load" or "use".
	Error string `json:"error,omitempty"`
	Stage string `json:"stage,omitempty"`
	// Effects name everything in the document, current context or not, that does more than to dial the server with the
	// credentials in it.
	Effects []string `json:"effects"`
	// Servers, Users and Contexts are all that the document holds, sorted.
	Servers  []string `json:"servers"`
	Users    []string `json:"users"`
	Contexts []string `json:"contexts"`
	// Used is what the current context comes to; nil where there is an error.
	Used *used `json:"used,omitempty"`
	// K3s tells whether the document is, byte for byte, what k3s writes of the same values.
	K3s bool `json:"k3s"`
}

// used is what a client would be made of. Bytes are base64.
type used struct {
	Context       string `json:"context"`
	Cluster       string `json:"cluster"`
	User          string `json:"user"`
	Namespace     string `json:"namespace"`
	Server        string `json:"server"`
	Scheme        string `json:"scheme"`
	Host          string `json:"host"`
	Port          string `json:"port"`
	Userinfo      string `json:"userinfo"`
	Path          string `json:"path"`
	TLSServerName string `json:"tlsServerName"`
	Authority     []byte `json:"authority"`
	Certificate   []byte `json:"certificate"`
	Key           []byte `json:"key"`
	Token         string `json:"token"`
	Username      string `json:"username"`
	Password      string `json:"password"`
}

func readKubeconfig(document []byte) any {
	answer := kubeconfigAnswer{Effects: []string{}, Servers: []string{}, Users: []string{}, Contexts: []string{}}
	config, err := load(document)
	if err != nil {
		answer.Error, answer.Stage = err.Error(), "load"
		return answer
	}
	answer.survey(config)
	current := config.CurrentContext
	disarm(config)
	direct := clientcmd.NewNonInteractiveClientConfig(*config, "", &clientcmd.ConfigOverrides{}, nil)
	made, err := direct.ClientConfig()
	if err != nil {
		answer.Error, answer.Stage = err.Error(), "use"
		return answer
	}
	namespace, _, err := direct.Namespace()
	if err != nil {
		answer.Error, answer.Stage = err.Error(), "use"
		return answer
	}
	answer.Used = use(made, config.Contexts[current], current, namespace)
	answer.K3s = isK3s(document, config)
	return answer
}

// load reads a document as kubectl does. A panic of the loader is an answer, too.
func load(document []byte) (config *api.Config, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("panic: %v", fault)
		}
	}()
	return clientcmd.Load(document)
}

// survey notes what there is in the whole document.
func (answer *kubeconfigAnswer) survey(config *api.Config) {
	effects := map[string]bool{}
	note := func(effect string, is bool) {
		if is {
			effects[effect] = true
		}
	}
	for _, cluster := range config.Clusters {
		answer.Servers = append(answer.Servers, cluster.Server)
		note("insecure", cluster.InsecureSkipTLSVerify)
		note("proxy", cluster.ProxyURL != "")
		note("file", cluster.CertificateAuthority != "")
		note("disable-compression", cluster.DisableCompression)
		note("extensions", len(cluster.Extensions) > 0)
	}
	for name, user := range config.AuthInfos {
		answer.Users = append(answer.Users, name)
		note("exec", user.Exec != nil)
		note("auth-provider", user.AuthProvider != nil)
		note("file", user.ClientCertificate != "" || user.ClientKey != "" || user.TokenFile != "")
		note("impersonation", user.Impersonate != "" || user.ImpersonateUID != "" || len(user.ImpersonateGroups) > 0 || len(user.ImpersonateUserExtra) > 0)
		note("extensions", len(user.Extensions) > 0)
	}
	for name, context := range config.Contexts {
		answer.Contexts = append(answer.Contexts, name)
		note("extensions", len(context.Extensions) > 0)
	}
	note("extensions", len(config.Extensions) > 0 || len(config.Preferences.Extensions) > 0)
	for effect := range effects {
		answer.Effects = append(answer.Effects, effect)
	}
	for _, list := range [][]string{answer.Effects, answer.Servers, answer.Users, answer.Contexts} {
		sort.Strings(list)
	}
}

// disarm takes away the names of files, which the loader would open.
func disarm(config *api.Config) {
	for _, cluster := range config.Clusters {
		cluster.CertificateAuthority = ""
	}
	for _, user := range config.AuthInfos {
		user.ClientCertificate, user.ClientKey, user.TokenFile = "", "", ""
	}
}

func use(made *rest.Config, context *api.Context, name, namespace string) *used {
	is := &used{
		Context:       name,
		Namespace:     namespace,
		Server:        made.Host,
		TLSServerName: made.ServerName,
		Authority:     made.CAData,
		Certificate:   made.CertData,
		Key:           made.KeyData,
		Token:         made.BearerToken,
		Username:      made.Username,
		Password:      made.Password,
	}
	if context != nil {
		is.Cluster, is.User = context.Cluster, context.AuthInfo
	}
	// As client-go itself parses it before it dials.
	if parsed, _, err := rest.DefaultServerUrlFor(made); err == nil {
		is.Scheme, is.Host, is.Port, is.Path = parsed.Scheme, parsed.Hostname(), parsed.Port(), parsed.Path
		is.Userinfo = userinfo(parsed)
	}
	return is
}

func userinfo(parsed *url.URL) string {
	if parsed.User == nil {
		return ""
	}
	return parsed.User.String()
}

// isK3s makes the kubeconfig anew as k3s does: one cluster, user and context of one name, by client-go's own writer. Up to k3s
// 1.33 (client-go 0.33) that writes empty preferences, later it leaves them out.
func isK3s(document []byte, config *api.Config) bool {
	name := config.CurrentContext
	cluster, user := config.Clusters[name], config.AuthInfos[name]
	if cluster == nil || user == nil {
		return false
	}
	made := api.NewConfig()
	made.Clusters[name] = &api.Cluster{Server: cluster.Server, CertificateAuthorityData: cluster.CertificateAuthorityData}
	made.AuthInfos[name] = &api.AuthInfo{ClientCertificateData: user.ClientCertificateData, ClientKeyData: user.ClientKeyData}
	made.Contexts[name] = &api.Context{Cluster: name, AuthInfo: name}
	made.CurrentContext = name
	written, err := clientcmd.Write(*made)
	if err != nil {
		return false
	}
	older := bytes.Replace(written, []byte("\nkind: Config\n"), []byte("\nkind: Config\npreferences: {}\n"), 1)
	return bytes.Equal(document, written) || bytes.Equal(document, older)
}
