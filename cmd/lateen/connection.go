package main

import (
	"errors"
	"time"

	"github.com/spf13/pflag"
	_ "k8s.io/client-go/plugin/pkg/client/auth" // clusters that are logged in to through a provider
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/lateen-io/lateen/internal/function"
)

// connection is how a cluster is reached, and for how long.
type connection struct {
	timeout   time.Duration
	rules     *clientcmd.ClientConfigLoadingRules
	overrides clientcmd.ConfigOverrides
}

func newConnection() connection {
	return connection{rules: clientcmd.NewDefaultClientConfigLoadingRules()}
}

// bind adds the flags that are called as those of kubectl.
func (c *connection) bind(f *pflag.FlagSet) {
	f.DurationVar(&c.timeout, "timeout", patience, "how long the look at the cluster may take")
	f.StringVar(&c.rules.ExplicitPath, clientcmd.RecommendedConfigPathFlag, "",
		"kubeconfig file, by default $KUBECONFIG, ~/.kube/config or that of the pod")
	flags := clientcmd.RecommendedConfigOverrideFlags("")
	clientcmd.BindOverrideFlags(&c.overrides, f, clientcmd.ConfigOverrideFlags{
		AuthOverrideFlags: clientcmd.AuthOverrideFlags{
			Impersonate:       flags.AuthOverrideFlags.Impersonate,
			ImpersonateGroups: flags.AuthOverrideFlags.ImpersonateGroups,
		},
		ContextOverrideFlags: clientcmd.ContextOverrideFlags{
			ClusterName: flags.ContextOverrideFlags.ClusterName, AuthInfoName: flags.ContextOverrideFlags.AuthInfoName,
		},
		CurrentContext: flags.CurrentContext,
	})
}

func (c *connection) check() error {
	if c.timeout <= 0 {
		return errors.New("--timeout must be more than nothing, such as 2m")
	}
	return nil
}

func (c *connection) loader() clientcmd.ClientConfig {
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(c.rules, &c.overrides)
}

// config finds out how to reach the cluster.
func (c *connection) config() (*rest.Config, error) {
	config, err := c.loader().ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, errors.New("there is no kubeconfig that says which cluster is meant: give one with --kubeconfig " +
			"or KUBECONFIG")
	}
	if err != nil {
		return nil, err
	}
	config.UserAgent = "lateen/" + function.BuildVersion()
	config.QPS = -1 // the server's priority and fairness see to it
	config.WarningHandler = rest.NoWarnings{}
	return config, nil
}
