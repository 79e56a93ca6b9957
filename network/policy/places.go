package policy

import (
	"context"
	"fmt"

	"sigs.k8s.io/knftables"
)

// places are the two names under which the table is kept by turns: it is written
// anew at one while it judges at the other.
type places [2]knftables.Interface

// placesOf are a name and that name with -2.
func placesOf(name string) (places, error) {
	var out places
	for i, name := range []string{name, name + "-2"} {
		nft, err := knftables.New(knftables.InetFamily, name)
		if err != nil {
			return places{}, fmt.Errorf("nftables (package nftables): %w", err)
		}
		out[i] = nft
	}
	return out, nil
}

// taken tells whether there is a table at a place.
func (p places) taken(ctx context.Context, at int) (bool, error) {
	_, err := p[at].List(ctx, "chains")
	if knftables.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// run puts what all of write say into one transaction at a place.
func (p places) run(ctx context.Context, at int, write ...func(*knftables.Transaction)) error {
	tx := p[at].NewTransaction()
	for _, w := range write {
		w(tx)
	}
	if tx.NumOperations() == 0 {
		return nil
	}
	return p[at].Run(ctx, tx)
}

// gone deletes the table at a place, whether it is there or not.
func gone(tx *knftables.Transaction) {
	tx.Add(&knftables.Table{}) // so that there is one to delete
	tx.Delete(&knftables.Table{})
}
