package expression

import kubecel "k8s.io/apiserver/pkg/cel"

type fields map[string]*kubecel.DeclType

// object declares a type with required fields, and optional ones.
func object(name string, required, optional fields) *kubecel.DeclType {
	all := map[string]*kubecel.DeclField{}
	for n, t := range required {
		all[n] = kubecel.NewDeclField(n, t, true, nil, nil)
	}
	for n, t := range optional {
		all[n] = kubecel.NewDeclField(n, t, false, nil, nil)
	}
	return kubecel.NewObjectType(name, all)
}

func listOf(t *kubecel.DeclType) *kubecel.DeclType { return kubecel.NewListType(t, -1) }

func mapOf(t *kubecel.DeclType) *kubecel.DeclType {
	return kubecel.NewMapType(kubecel.StringType, t, -1)
}

var (
	text    = kubecel.StringType
	kind    = object("kubernetes.GroupVersionKind", fields{"group": text, "version": text, "kind": text}, nil)
	dotted  = object("kubernetes.GroupVersionResource", fields{"group": text, "version": text, "resource": text}, nil)
	theUser = object("kubernetes.UserInfo", nil, fields{
		"username": text, "uid": text, "groups": listOf(text), "extra": mapOf(listOf(text)),
	})
)

// requestType is AdmissionRequest without its uid, which means nothing in this
// process, and without its objects, which are variables of their own.
var requestType = object("kubernetes.AdmissionRequest",
	fields{
		"kind": kind, "resource": dotted, "requestKind": kind, "requestResource": dotted,
		"name": text, "operation": text, "userInfo": theUser,
	},
	fields{
		"subResource": text, "requestSubResource": text, "namespace": text,
		"dryRun": kubecel.BoolType, "options": kubecel.DynType,
	})

// namespaceType is Namespace without owners and managed fields.
var namespaceType = object("kubernetes.Namespace", fields{
	"metadata": object("kubernetes.NamespaceMetadata", fields{
		"name": text, "generateName": text, "namespace": text, "labels": mapOf(text), "annotations": mapOf(text),
		"UID": text, "creationTimestamp": kubecel.TimestampType, "deletionGracePeriodSeconds": kubecel.IntType,
		"deletionTimestamp": kubecel.TimestampType, "generation": kubecel.IntType, "resourceVersion": text,
		"finalizers": listOf(text),
	}, nil),
	"spec": object("kubernetes.NamespaceSpec", fields{"finalizers": listOf(text)}, nil),
	"status": object("kubernetes.NamespaceStatus", fields{
		"phase": text,
		"conditions": listOf(object("kubernetes.NamespaceCondition", fields{
			"status": text, "type": text, "lastTransitionTime": kubecel.TimestampType, "message": text, "reason": text,
		}, nil)),
	}, nil),
}, nil)
