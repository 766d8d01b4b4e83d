package domain

import (
	"encoding/json"
	"fmt"
)

// Schema is the shape that Encode writes today. A record says which one it has;
// records of older shapes are lifted by the upcasts.
const Schema = 1

// UnknownEventError says that a record's type is not in the catalogue: it was
// written by a later release, or by somebody else. It is never skipped.
type UnknownEventError struct {
	Name   string
	Schema int
}

func (e *UnknownEventError) Error() string {
	return fmt.Sprintf("unknown event type %q with schema %d (this release knows schemas up to %d)", e.Name, e.Schema, Schema)
}

// Encode writes an event as it is stored.
func Encode(e Event) (name string, data []byte, err error) {
	data, err = json.Marshal(e)
	if err != nil {
		return "", nil, fmt.Errorf("encode %s: %w", e.StoredName(), err)
	}
	return e.StoredName(), data, nil
}

// Decode reads a stored event of any released schema. Members it does not know
// are left in the log and ignored here. An unknown name gives *UnknownEventError.
func Decode(name string, schema int, data []byte) (Event, error) {
	return decodeWith(upcasts, name, schema, data)
}

// upcast lifts the data of one event type from one schema to the next.
type upcast struct {
	name string
	from int
	lift func(data []byte) ([]byte, error)
}

// upcasts, in the order of their schemas. None yet: schema 1 is the first.
var upcasts = []upcast{}

func decodeWith(upcasts []upcast, name string, schema int, data []byte) (Event, error) {
	if schema < 1 || schema > Schema {
		return nil, &UnknownEventError{Name: name, Schema: schema}
	}
	for _, u := range upcasts {
		if u.name != name || u.from < schema {
			continue
		}
		lifted, err := u.lift(data)
		if err != nil {
			return nil, fmt.Errorf("lift %s from schema %d: %w", name, u.from, err)
		}
		data = lifted
	}
	return decode(name, data)
}

func decode(name string, data []byte) (Event, error) {
	switch name {
	case MethodAttached{}.StoredName():
		return read[MethodAttached](data)
	case MethodUpdated{}.StoredName():
		return read[MethodUpdated](data)
	case MethodPaused{}.StoredName():
		return read[MethodPaused](data)
	case MethodResumed{}.StoredName():
		return read[MethodResumed](data)
	case MethodExpiring{}.StoredName():
		return read[MethodExpiring](data)
	case MethodExpired{}.StoredName():
		return read[MethodExpired](data)
	case DuplicateDetected{}.StoredName():
		return read[DuplicateDetected](data)
	case DefaultChanged{}.StoredName():
		return read[DefaultChanged](data)
	case MethodDetached{}.StoredName():
		return read[MethodDetached](data)
	case CommandAccepted{}.StoredName():
		return read[CommandAccepted](data)
	case OrganizationCreated{}.StoredName():
		return read[OrganizationCreated](data)
	case OrganizationUpdated{}.StoredName():
		return read[OrganizationUpdated](data)
	case KeyCreated{}.StoredName():
		return read[KeyCreated](data)
	case KeyRevoked{}.StoredName():
		return read[KeyRevoked](data)
	case LedgerCreated{}.StoredName():
		return read[LedgerCreated](data)
	default:
		return decodeInstrument(name, data)
	}
}

// decodeInstrument reads events about what stands behind a method, and about its
// uses.
func decodeInstrument(name string, data []byte) (Event, error) {
	switch name {
	case VerificationRequested{}.StoredName():
		return read[VerificationRequested](data)
	case VerificationStarted{}.StoredName():
		return read[VerificationStarted](data)
	case VerificationAttemptFailed{}.StoredName():
		return read[VerificationAttemptFailed](data)
	case VerificationEnded{}.StoredName():
		return read[VerificationEnded](data)
	case MethodVerified{}.StoredName():
		return read[MethodVerified](data)
	case MethodSynced{}.StoredName():
		return read[MethodSynced](data)
	case MethodActivated{}.StoredName():
		return read[MethodActivated](data)
	case MethodFailed{}.StoredName():
		return read[MethodFailed](data)
	case MethodBlocked{}.StoredName():
		return read[MethodBlocked](data)
	case MandateUpdated{}.StoredName():
		return read[MandateUpdated](data)
	case MandateExpiring{}.StoredName():
		return read[MandateExpiring](data)
	case GatewayDetached{}.StoredName():
		return read[GatewayDetached](data)
	case GatewayDetachFailed{}.StoredName():
		return read[GatewayDetachFailed](data)
	case GatewayCanceled{}.StoredName():
		return read[GatewayCanceled](data)
	case ReplacementAvailable{}.StoredName():
		return read[ReplacementAvailable](data)
	case MethodReplacedByUpdater{}.StoredName():
		return read[MethodReplacedByUpdater](data)
	case MethodReplaced{}.StoredName():
		return read[MethodReplaced](data)
	case MethodDeclined{}.StoredName():
		return read[MethodDeclined](data)
	case SubscriptionUpdated{}.StoredName():
		return read[SubscriptionUpdated](data)
	case SubscriptionDeleted{}.StoredName():
		return read[SubscriptionDeleted](data)
	case SubscriptionClaimed{}.StoredName():
		return read[SubscriptionClaimed](data)
	default:
		return decodeSetup(name, data)
	}
}

// decodeSetup reads events of setup intents and of the test clock.
func decodeSetup(name string, data []byte) (Event, error) {
	switch name {
	case SetupIntentCreated{}.StoredName():
		return read[SetupIntentCreated](data)
	case SetupIntentProcessing{}.StoredName():
		return read[SetupIntentProcessing](data)
	case SetupIntentNeedsAction{}.StoredName():
		return read[SetupIntentNeedsAction](data)
	case SetupIntentSucceeded{}.StoredName():
		return read[SetupIntentSucceeded](data)
	case SetupIntentFailed{}.StoredName():
		return read[SetupIntentFailed](data)
	case SetupIntentCanceled{}.StoredName():
		return read[SetupIntentCanceled](data)
	case SetupGatewayCanceled{}.StoredName():
		return read[SetupGatewayCanceled](data)
	case TestClockSet{}.StoredName():
		return read[TestClockSet](data)
	default:
		return nil, &UnknownEventError{Name: name, Schema: Schema}
	}
}

func read[E Event](data []byte) (Event, error) {
	var e E
	var err error
	if often, ok := any(&e).(interface{ read(*reader) }); ok {
		r := &reader{data: data}
		often.read(r)
		err = r.end()
	} else {
		err = json.Unmarshal(data, &e)
	}
	if err != nil {
		return nil, fmt.Errorf("decode %s: %w", e.StoredName(), err)
	}
	return e, nil
}
