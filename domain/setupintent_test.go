package domain

import (
	"testing"

	"github.com/google/uuid"
)

func TestASetupIntentsIDIsAPrefixAndThirtyTwoHexDigits(t *testing.T) {
	id := NewSetupIntentID(uuid.MustParse("0193c2f0-a1b2-7c3d-8e4f-5a6b7c8d9e0f"))
	if id != "seti_0193c2f0a1b27c3d8e4f5a6b7c8d9e0f" || !id.Valid() {
		t.Errorf("the id is %q, valid: %v", id, id.Valid())
	}
	for _, bad := range []SetupIntentID{"", "seti_", "pm_0193c2f0a1b27c3d8e4f5a6b7c8d9e0f", id + "0", id[:len(id)-1], "seti_0193C2f0a1b27c3d8e4f5a6b7c8d9e0f", id + "\n"} {
		if bad.Valid() {
			t.Errorf("%q counts as an id", bad)
		}
	}
}
