package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"
)

// config is what the plugin reads from its standard input.
type config struct {
	types.PluginConf
	// Bridge is the interface that pods hang on. It is made at the first.
	Bridge string `json:"bridge"`
	// MTU of the pods' interfaces in bytes; 0 leaves it to the kernel.
	MTU int `json:"mtu"`
	// PortMap is the configuration of portmap, without ports.
	PortMap map[string]any `json:"portmap"`

	RuntimeConfig struct {
		PortMappings []json.RawMessage `json:"portMappings,omitempty"`
	} `json:"runtimeConfig"`
}

func parse(stdin []byte) (*config, error) {
	c := &config{}
	if err := json.Unmarshal(stdin, c); err != nil {
		return nil, fmt.Errorf("read the network configuration: %w", err)
	}
	if c.Bridge == "" || c.IPAM.Type != "host-local" {
		return nil, errors.New(`the network configuration must name a bridge, and "host-local" for addresses`)
	}
	if err := version.ParsePrevResult(&c.PluginConf); err != nil {
		return nil, fmt.Errorf("read the previous result: %w", err)
	}
	return c, nil
}

// portmap is the configuration that portmap gets; nil if the pod has no host
// ports, and portmap nothing to do. The result is nil at the end of a pod.
func (c *config) portmap(result *current.Result) ([]byte, error) {
	if len(c.RuntimeConfig.PortMappings) == 0 {
		return nil, nil
	}
	conf := map[string]any{}
	maps.Copy(conf, c.PortMap)
	conf["cniVersion"], conf["name"], conf["type"] = c.CNIVersion, c.Name, "portmap"
	conf["runtimeConfig"] = c.RuntimeConfig
	if result != nil {
		conf["prevResult"] = result
	}
	b, err := json.Marshal(conf)
	if err != nil {
		return nil, fmt.Errorf("configuration of portmap: %w", err)
	}
	return b, nil
}
