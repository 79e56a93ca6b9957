// Package columns holds what the printer columns of many kinds have in common:
// how a column is declared, and how times, label sets and containers are
// written in a cell. Everything here is pure.
package columns

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/duration"
)

// What a cell says where there is nothing to say.
const (
	None    = "<none>"
	Unset   = "<unset>"
	Unknown = "<unknown>"
)

// Name is the column that begins every table.
func Name() metav1.TableColumnDefinition {
	return metav1.TableColumnDefinition{
		Name: "Name", Type: "string", Format: "name",
		Description: metav1.ObjectMeta{}.SwaggerDoc()["name"],
	}
}

// Age is the column of [Since] the creation of the object.
func Age() metav1.TableColumnDefinition {
	return String("Age", metav1.ObjectMeta{}.SwaggerDoc()["creationTimestamp"])
}

// CreatedAt is the column of the time of creation, for the kinds that print
// that in the place of an age.
func CreatedAt() metav1.TableColumnDefinition {
	return String("Created At", metav1.ObjectMeta{}.SwaggerDoc()["creationTimestamp"])
}

// String declares a column of text.
func String(name, description string) metav1.TableColumnDefinition {
	return metav1.TableColumnDefinition{Name: name, Type: "string", Description: description}
}

// Integer declares a column of whole numbers.
func Integer(name, description string) metav1.TableColumnDefinition {
	return metav1.TableColumnDefinition{Name: name, Type: "integer", Description: description}
}

// Boolean declares a column of truth values.
func Boolean(name, description string) metav1.TableColumnDefinition {
	return metav1.TableColumnDefinition{Name: name, Type: "boolean", Description: description}
}

// Wide makes a column one that is shown only on demand (kubectl get -o wide).
func Wide(c metav1.TableColumnDefinition) metav1.TableColumnDefinition {
	c.Priority = 1
	return c
}

// Since writes the time that has passed from t to now, such as "5d3h".
func Since(t metav1.Time, now time.Time) string {
	if t.IsZero() {
		return Unknown
	}
	return duration.HumanDuration(now.Sub(t.Time))
}

// SinceMicro is [Since] for times with microseconds.
func SinceMicro(t metav1.MicroTime, now time.Time) string {
	return Since(metav1.Time{Time: t.Time}, now)
}

// Until writes the time that is left from now to t.
func Until(t metav1.Time, now time.Time) string {
	if t.IsZero() {
		return Unknown
	}
	return duration.HumanDuration(t.Sub(now))
}

// Labels writes a label set as "a=b,c=d", sorted.
func Labels(set map[string]string) string { return labels.FormatLabels(set) }

// Selector writes a label selector as kubectl's -l would take it.
func Selector(s *metav1.LabelSelector) string { return metav1.FormatLabelSelector(s) }

// Containers writes the names and the images of containers, each joined by
// commas.
func Containers(cs []corev1.Container) (names, images string) {
	n, i := make([]string, len(cs)), make([]string, len(cs))
	for k := range cs {
		n[k], i[k] = cs[k].Name, cs[k].Image
	}
	return strings.Join(n, ","), strings.Join(i, ",")
}

// ContainerColumns are the wide columns filled by [Containers], which every
// kind with a pod template prints.
func ContainerColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		Wide(String("Containers", "Names of each container in the template.")),
		Wide(String("Images", "Images referenced by each container in the template.")),
	}
}
