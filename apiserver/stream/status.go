package stream

import (
	"encoding/json"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// writeStatus answers with a status in JSON, which every client of a stream
// reads.
func writeStatus(w http.ResponseWriter, s *metav1.Status) {
	b, err := json.Marshal(encodable(s))
	if err != nil {
		http.Error(w, s.Message, int(s.Code))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(int(s.Code))
	_, _ = w.Write(b)
}

// encodable gives a status its type.
func encodable(s *metav1.Status) *metav1.Status {
	s.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	return s
}
