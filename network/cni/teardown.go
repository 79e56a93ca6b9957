package cni

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/vishvananda/netlink"
	"sigs.k8s.io/knftables"
)

// Teardown removes what Setup and the plugins made for this network, whether
// pods are running or not. What is not there is not missed; it goes on after an
// error and returns all of them. Forwarding of packets between interfaces stays
// switched on: others on the machine may have come to rely on it.
func Teardown(ctx context.Context, c Config) error {
	c = c.withDefaults()
	var errs []error
	add := func(what string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("remove pod network: %s: %w", what, err))
		}
	}
	// The file first, so that the runtime stops attaching pods.
	add("configuration", removeFile(filepath.Join(c.ConfDir, ConfigFile)))
	ids, err := attached(filepath.Join(ipamDir(c), c.Network))
	add("address records", err)
	add("port mappings", removePortMappings(ctx, ids))
	add("forwarding", ForbidForwarding(ctx, c))
	add("nftables", removeTable(ctx, knftables.InetFamily, tableName(c)))
	add("bridge "+c.Bridge, removeBridge(c.Bridge))
	if len(errs) == 0 {
		// Kept after a failure: a second Teardown needs them.
		add("address records", os.RemoveAll(filepath.Join(ipamDir(c), c.Network)))
		add("address records", removeEmpty(ipamDir(c)))
	}
	return errors.Join(errs...)
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// removeEmpty removes a directory unless something else is in it.
func removeEmpty(path string) error {
	entries, err := os.ReadDir(path)
	if errors.Is(err, os.ErrNotExist) || len(entries) > 0 {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Remove(path)
}

// attached reads the IDs of the pods that have an address. host-local keeps a
// file per address, with the ID in its first line.
func attached(dir string) (map[string]bool, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	ids := map[string]bool{}
	for _, e := range entries {
		if e.IsDir() || strings.HasPrefix(e.Name(), "last_reserved_ip") || e.Name() == "lock" {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		s := bufio.NewScanner(strings.NewReader(string(b)))
		if s.Scan() && s.Text() != "" {
			ids[strings.TrimSpace(s.Text())] = true
		}
	}
	return ids, nil
}

// The portmap plugin's table, in one table per family, is shared by all CNI
// users of the machine. Its rules carry the pod's ID as a comment.
const portmapTable = "cni_hostport"

var portmapRuleChains = []string{"hostports", "hostip_hostports", "masquerading"}

// removePortMappings deletes the rules of the given pods, and the table once
// nobody has a rule in it.
func removePortMappings(ctx context.Context, ids map[string]bool) error {
	if len(ids) == 0 {
		return nil
	}
	var errs []error
	for _, family := range []knftables.Family{knftables.IPv4Family, knftables.IPv6Family} {
		nft, err := knftables.New(family, portmapTable)
		if err != nil {
			return err
		}
		errs = append(errs, removePodRules(ctx, nft, ids))
	}
	return errors.Join(errs...)
}

func removePodRules(ctx context.Context, nft knftables.Interface, ids map[string]bool) error {
	tx := nft.NewTransaction()
	ours, others := 0, 0
	for _, chain := range portmapRuleChains {
		rules, err := nft.ListRules(ctx, chain)
		if knftables.IsNotFound(err) {
			continue
		}
		if err != nil {
			return err
		}
		for _, r := range rules {
			if r.Comment == nil || !ids[*r.Comment] {
				others++
				continue
			}
			ours++
			tx.Delete(r)
		}
	}
	switch {
	case ours == 0:
		return nil
	case others == 0:
		tx = nft.NewTransaction()
		tx.Delete(&knftables.Table{})
	}
	return nft.Run(ctx, tx)
}

func removeTable(ctx context.Context, family knftables.Family, name string) error {
	nft, err := knftables.New(family, name)
	if err != nil {
		return err
	}
	tx := nft.NewTransaction()
	// Adding first makes deleting work when it is not there.
	tx.Add(&knftables.Table{})
	tx.Delete(&knftables.Table{})
	return nft.Run(ctx, tx)
}

// removeBridge deletes the bridge and what is attached to it. The other ends of
// the pods' interfaces go with them.
func removeBridge(name string) error {
	br, err := netlink.LinkByName(name)
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if br.Type() != "bridge" {
		return fmt.Errorf("the interface is a %s, not a bridge: left alone", br.Type())
	}
	links, err := netlinksafe.LinkList()
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	var errs []error
	for _, l := range links {
		if l.Attrs().MasterIndex == br.Attrs().Index && l.Type() == "veth" {
			if err := netlink.LinkDel(l); err != nil && !isGone(err) {
				errs = append(errs, fmt.Errorf("%s: %w", l.Attrs().Name, err))
			}
		}
	}
	if err := netlink.LinkDel(br); err != nil && !isGone(err) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
