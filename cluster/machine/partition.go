package machine

import (
	"context"
	"fmt"
	"slices"

	"sigs.k8s.io/knftables"
)

// partition is the nftables table of a machine that is cut off.
const partition = "proa-partition"

// Partition cuts the machine off its LAN: whatever comes in or goes out by its
// interface is dropped without a word. Its own processes and pods still reach each
// other. It is gone with the machine's next Remove, as after a repair.
func (m Machine) Partition(ctx context.Context) error {
	return m.nft(ctx, "cut off", func(nft knftables.Interface) error {
		tx := nft.NewTransaction()
		tx.Add(&knftables.Table{Comment: knftables.PtrTo("this node is cut off on purpose: proa node heal")})
		for _, c := range []struct {
			name string
			hook knftables.BaseChainHook
			rule string
		}{
			{"in", knftables.PreroutingHook, "iifname " + Interface + " drop"},
			{"out", knftables.PostroutingHook, "oifname " + Interface + " drop"},
		} {
			tx.Add(&knftables.Chain{
				Name: c.name, Type: knftables.PtrTo(knftables.FilterType), Hook: knftables.PtrTo(c.hook), Priority: knftables.PtrTo(knftables.RawPriority),
			})
			tx.Flush(&knftables.Chain{Name: c.name})
			tx.Add(&knftables.Rule{Chain: c.name, Rule: c.rule})
		}
		return nft.Run(ctx, tx)
	})
}

// Heal ends a partition; without one it does nothing.
func (m Machine) Heal(ctx context.Context) error {
	return m.nft(ctx, "connect", func(nft knftables.Interface) error {
		tx := nft.NewTransaction()
		tx.Add(&knftables.Table{})
		tx.Delete(&knftables.Table{})
		return nft.Run(ctx, tx)
	})
}

// Partitioned tells whether the machine is cut off.
func (m Machine) Partitioned(ctx context.Context) (is bool, err error) {
	err = m.nft(ctx, "look at", func(nft knftables.Interface) error {
		chains, err := nft.List(ctx, "chains")
		if knftables.IsNotFound(err) {
			return nil
		}
		is = slices.Contains(chains, "in")
		return err
	})
	return is, err
}

// nft runs f with the machine's nftables.
func (m Machine) nft(ctx context.Context, what string, f func(knftables.Interface) error) error {
	err := m.Do(func() error {
		nft, err := knftables.New(knftables.InetFamily, partition)
		if err != nil {
			return err
		}
		return f(nft)
	})
	if err != nil {
		return fmt.Errorf("%s %s: %w", what, m.Name, err)
	}
	return nil
}
