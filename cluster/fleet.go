package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	machines "proa/cluster/machine"
)

// A fleet is the nodes that a cluster divides this machine into. Each is a
// machine (package machine) with directories, a cgroup and an identity of its
// own. The first one runs the server; on the others an agent runs, detached from
// everything, as on machines of their own. What is known of them lies in the
// cluster's data directory, and every operation goes by that and by what it finds
// running, never by the memory of a process: so a server that was killed finds
// its nodes again, and so does "proa down".
//
//	DATA/nodes/lock                held during every operation
//	DATA/nodes/cluster.yaml        the configuration that the cluster runs with
//	DATA/nodes/NAME/node.json      the record of a node
//	DATA/nodes/NAME/…              data directory of the node, but for the first
//	                               node, whose data is the cluster's
//	RUN/nodes/NAME/netns           its network namespace
//	RUN/nodes/NAME/…               run directory of the node, but for the first
type fleet struct {
	config *Config // the cluster's
	lock   *os.File
}

// firstNode runs the control plane.
const firstNode = "node-1"

// fleetNode is the record of a node.
type fleetNode struct {
	machines.Machine
	// Stopped nodes stay down until they are started by name, or everything is.
	Stopped bool `json:"stopped,omitempty"`
}

func (n *fleetNode) first() bool { return n.Name == firstNode }

// ErrNoFleet means that the nodes of a cluster are real machines.
var ErrNoFleet = errors.New("the cluster has no nodes of its own making: start one with \"proa up --nodes 3\"")

func fleetDir(c *Config) string { return filepath.Join(c.DataDir, "nodes") }

// hasFleet tells whether the cluster was, or is to be, divided into nodes.
func hasFleet(c *Config) bool {
	_, err := os.Stat(filepath.Join(fleetDir(c), firstNode, "node.json"))
	return c.Nodes > 0 || err == nil
}

// openFleet takes the lock of a cluster's nodes, for the time of one operation.
// With wait it waits for another operation to end.
func openFleet(c *Config) (*fleet, error) {
	if err := os.MkdirAll(fleetDir(c), 0o755); err != nil {
		return nil, fmt.Errorf("make the directory of nodes: %w", err)
	}
	l, err := os.OpenFile(filepath.Join(fleetDir(c), "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the nodes: %w", err)
	}
	if err := flockEx(l); err != nil {
		l.Close()
		return nil, fmt.Errorf("lock the nodes: %w", err)
	}
	return &fleet{config: c, lock: l}, nil
}

func flockEx(f *os.File) error {
	for {
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// openRecordedFleet is openFleet for a cluster that was started already, with the
// configuration that it was started with. Only the data directory of c counts.
func openRecordedFleet(c *Config) (*fleet, error) {
	if !hasFleet(c) {
		return nil, ErrNoFleet
	}
	f, err := openFleet(c)
	if err != nil {
		return nil, err
	}
	was, err := f.recorded()
	if err == nil && was == nil {
		err = ErrNoFleet
	}
	if err != nil {
		f.close()
		return nil, err
	}
	f.config = was
	return f, nil
}

func (f *fleet) close() { f.lock.Close() }

func (f *fleet) configFile() string { return filepath.Join(fleetDir(f.config), "cluster.yaml") }

// recorded is the configuration of the last start, or nil.
func (f *fleet) recorded() (*Config, error) {
	if _, err := os.Stat(f.configFile()); errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	c, err := LoadConfig(f.configFile())
	if err != nil {
		return nil, err
	}
	c.DataDir = f.config.DataDir
	return c, c.Complete()
}

func (f *fleet) record() error {
	data, err := yaml.Marshal(f.config)
	if err != nil {
		return fmt.Errorf("record the configuration: %w", err)
	}
	return replaceFile(f.configFile(), data)
}

func (f *fleet) lan() (machines.LAN, error) {
	r, err := netip.ParsePrefix(f.config.Network.NodeCIDR)
	if err != nil {
		return machines.LAN{}, fmt.Errorf("network.nodeCIDR: %w", err)
	}
	return machines.LAN{Bridge: f.config.Network.Bridge, Range: r.Masked()}, nil
}

// nodes are all records, the first node first, then in the order of numbers.
func (f *fleet) nodes() ([]*fleetNode, error) {
	files, err := filepath.Glob(filepath.Join(fleetDir(f.config), "*", "node.json"))
	if err != nil {
		return nil, err
	}
	var out []*fleetNode
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read the record of a node: %w", err)
		}
		n := &fleetNode{}
		if err := json.Unmarshal(data, n); err != nil {
			return nil, fmt.Errorf("the record %s is damaged; remove its directory to be rid of the node: %w", file, err)
		}
		out = append(out, n)
	}
	slices.SortFunc(out, func(a, b *fleetNode) int { return a.Address.Compare(b.Address) })
	return out, nil
}

// node is the record of one, which must be there.
func (f *fleet) node(name string) (*fleetNode, error) {
	nodes, err := f.nodes()
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(nodes, func(n *fleetNode) bool { return n.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("there is no node %q: see \"proa node list\"", name)
	}
	return nodes[i], nil
}

// save writes the record of a node.
func (f *fleet) save(n *fleetNode) error {
	data, err := json.MarshalIndent(n, "", "  ")
	if err != nil {
		return fmt.Errorf("record %s: %w", n.Name, err)
	}
	return replaceFile(filepath.Join(fleetDir(f.config), n.Name, "node.json"), data)
}

// grow makes records until there are count, and returns all.
func (f *fleet) grow(count int) ([]*fleetNode, error) {
	nodes, err := f.nodes()
	if err != nil {
		return nil, err
	}
	for i := 1; len(nodes) < count; i++ {
		name := "node-" + strconv.Itoa(i)
		if slices.ContainsFunc(nodes, func(n *fleetNode) bool { return n.Name == name }) {
			continue
		}
		n, err := f.make(name, nodes)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

// make records a new node beside others.
func (f *fleet) make(name string, others []*fleetNode) (*fleetNode, error) {
	if msgs := validation.IsDNS1123Label(name); len(msgs) > 0 {
		return nil, fmt.Errorf("node name %q: %s", name, strings.Join(msgs, "; "))
	}
	lan, err := f.lan()
	if err != nil {
		return nil, err
	}
	var taken []netip.Addr
	for _, o := range others {
		taken = append(taken, o.Address)
	}
	address, err := lan.Free(taken)
	if err != nil {
		return nil, fmt.Errorf("address for %s: %w; remove a node, or start a cluster with a larger --node-cidr", name, err)
	}
	n := &fleetNode{Machine: machines.Machine{
		Name: name, Address: address, LAN: lan, Namespace: filepath.Join(f.config.RunDir, "nodes", name, "netns"),
	}}
	return n, f.save(n)
}

// configOf is the configuration that a node runs with. Pure.
func (f *fleet) configOf(n *fleetNode) (*Config, error) {
	c := *f.config
	c.Nodes = 0
	c.Node.Name, c.Node.Address = n.Name, n.Address.String()
	c.Node.CgroupRoot = path.Join(fleetCgroup(f.config), n.Name)
	if !n.first() {
		c.DataDir = filepath.Join(fleetDir(f.config), n.Name)
		c.RunDir = filepath.Join(f.config.RunDir, "nodes", n.Name)
		c.API, c.Etcd = API{}, Etcd{}
		c.Network.CNIConfDir, c.Node.Root, c.Node.LogDir, c.Node.StaticPodDir = "", "", "", ""
		c.Node.PushSocket = ""
		c.Network.Kubeconfig = filepath.Join(c.DataDir, "pki", "network.kubeconfig")
	}
	return &c, c.Complete()
}

// fleetCgroup is the cgroup that those of the nodes are in.
func fleetCgroup(c *Config) string {
	if c.Node.CgroupRoot == "/" {
		return "/proa"
	}
	return c.Node.CgroupRoot
}

// pidOf is the process of a node, or 0.
func (f *fleet) pidOf(n *fleetNode) (int, error) {
	c, err := f.configOf(n)
	if err != nil {
		return 0, err
	}
	return Running(c)
}

// replaceFile writes a file in one step, readable by its owner only.
func replaceFile(file string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	tmp := file + ".new"
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	if err := os.Rename(tmp, file); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}

// networks makes the network of every node that is not stopped.
func (f *fleet) networks(ctx context.Context, nodes []*fleetNode) error {
	lan, err := f.lan()
	if err != nil {
		return err
	}
	if err := lan.Ensure(ctx); err != nil {
		return err
	}
	for _, n := range nodes {
		if n.Stopped && !n.first() {
			continue
		}
		if err := n.Ensure(); err != nil {
			return err
		}
	}
	return nil
}

// NodeState is what "proa node list" shows of a node.
type NodeState struct {
	Name    string
	Address netip.Addr
	// PID of its agent, or of the server on the first node; 0 when it is down.
	PID         int
	Partitioned bool
	// Namespace is the file of its network namespace, for nsenter --net.
	Namespace string
	// RuntimeEndpoint is where its container runtime answers CRI.
	RuntimeEndpoint string
}

// Nodes lists the nodes that a cluster divides this machine into.
func Nodes(ctx context.Context, c *Config) ([]NodeState, error) {
	f, err := openRecordedFleet(c)
	if err != nil {
		return nil, err
	}
	defer f.close()
	nodes, err := f.nodes()
	if err != nil {
		return nil, err
	}
	var out []NodeState
	for _, n := range nodes {
		s := NodeState{Name: n.Name, Address: n.Address, Namespace: n.Namespace}
		own, err := f.configOf(n)
		if err != nil {
			return nil, err
		}
		s.RuntimeEndpoint = own.RuntimeEndpoint()
		if s.PID, err = Running(own); err != nil {
			return nil, err
		}
		if n.Exists() {
			if s.Partitioned, err = n.Partitioned(ctx); err != nil {
				return nil, err
			}
		}
		out = append(out, s)
	}
	slices.SortStableFunc(out, func(a, b NodeState) int { return cmp.Compare(len(a.Name), len(b.Name)) })
	return out, nil
}
