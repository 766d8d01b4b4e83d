package projections

import (
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/pmledger/pmledger/domain"
)

// Everything that a method is made of survives being stored, whatever members
// the domain gives it.
func TestAMethodIsReadBackFromItsRowAsItWas(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var m domain.Method
		fill(rt, reflect.ValueOf(&m).Elem())
		m.Status = rapid.SampledFrom(domain.Statuses).Draw(rt, "status")
		if a := m.Personal.BillingAddress; a != nil && *a == (domain.Address{}) {
			m.Personal.BillingAddress = nil // no lines and no address are the same
		}
		value, err := encodeRow(&m)
		if err != nil {
			rt.Fatal(err)
		}
		r, err := decodeRow(value)
		if err != nil {
			rt.Fatal(err)
		}
		got, err := r.method()
		if err != nil {
			rt.Fatal(err)
		}
		if !reflect.DeepEqual(got, &m) {
			rt.Fatalf("read back\n %+v\nwas\n %+v", got, &m)
		}
	})
}

// fill gives every member some value that the log can bring.
func fill(rt *rapid.T, v reflect.Value) {
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		if ms := rapid.Int64Range(0, 1<<42).Draw(rt, "ms"); ms%4 != 0 {
			v.Set(reflect.ValueOf(time.UnixMilli(ms).UTC()))
		}
		return
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			fill(rt, v.Field(i))
		}
		return
	}
	if rapid.IntRange(0, 3).Draw(rt, "empty") == 0 {
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(rapid.SampledFrom([]string{"a", "<b>", "é\u2028\"", "{}"}).Draw(rt, "text"))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(rapid.Int64Range(0, 3000).Draw(rt, "int"))
	case reflect.Uint64:
		v.SetUint(rapid.Uint64().Draw(rt, "uint"))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(rt, v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(rt, v.Index(0))
		fill(rt, v.Index(1))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		value := reflect.New(v.Type().Elem()).Elem()
		fill(rt, value)
		v.SetMapIndex(reflect.ValueOf("k"), value)
	default:
		rt.Fatalf("a member of kind %s: teach fill about it", v.Kind())
	}
}

// So does a setup intent.
func TestASetupIntentIsReadBackAsItWas(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var s domain.SetupIntent
		fill(rt, reflect.ValueOf(&s).Elem())
		value, err := encodeIntent(&s)
		if err != nil {
			rt.Fatal(err)
		}
		got, err := decodeIntent(value)
		if err != nil || !reflect.DeepEqual(got, &s) {
			rt.Fatalf("read back\n %+v\nwas\n %+v\n%v", got, &s, err)
		}
	})
}
