package etcd

import (
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"proa/store"
)

func keyValue(kv *mvccpb.KeyValue) store.KV {
	return store.KV{
		Key: string(kv.Key), Value: kv.Value,
		ModRevision: kv.ModRevision, CreateRevision: kv.CreateRevision,
	}
}

// present is the value that a transaction found where it did not hold.
func present(r *clientv3.TxnResponse) store.KV {
	if kvs := r.Responses[0].GetResponseRange().GetKvs(); len(kvs) > 0 {
		return keyValue(kvs[0])
	}
	return store.KV{}
}

func event(ev *clientv3.Event) store.Event {
	e := store.Event{KV: keyValue(ev.Kv)}
	if ev.Type == clientv3.EventTypeDelete {
		e.Deleted = true
		e.KV.Value, e.KV.CreateRevision = nil, 0
		return e
	}
	e.Created = ev.IsCreate()
	return e
}
