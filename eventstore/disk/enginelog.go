package disk

import (
	"fmt"
	"log/slog"
	"runtime"
)

// EngineLog passes on what a Pebble engine has to say. Fatal is told of an error
// after which the engine cannot go on.
type EngineLog struct {
	Log   *slog.Logger
	Fatal func(error)
}

// Infof implements pebble.Logger.
func (l EngineLog) Infof(format string, args ...any) {
	l.Log.Debug(fmt.Sprintf(format, args...), "from", "pebble")
}

// Errorf implements pebble.Logger.
func (l EngineLog) Errorf(format string, args ...any) {
	l.Log.Error(fmt.Sprintf(format, args...), "from", "pebble")
}

// Fatalf must not return: the engine relies on it. When Fatal does not end the
// process, the goroutine that met the error is ended.
func (l EngineLog) Fatalf(format string, args ...any) {
	l.Fatal(fmt.Errorf(format, args...))
	runtime.Goexit()
}
