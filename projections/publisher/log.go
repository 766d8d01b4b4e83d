package publisher

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
)

// serverLog hands the NATS server's log to slog. The server's notices are details
// to an operator of pmledger, so they are logged at debug level. A fatal message
// never ends the process; it is kept as the reason why the start failed.
type serverLog struct {
	logger *slog.Logger
	fatal  chan string
}

func (l *serverLog) log(level slog.Level, format string, v []any) {
	if l.logger.Enabled(context.Background(), level) {
		l.logger.Log(context.Background(), level, "NATS server: "+fmt.Sprintf(format, v...))
	}
}

func (l *serverLog) Noticef(format string, v ...any) { l.log(slog.LevelDebug, format, v) }
func (l *serverLog) Errorf(format string, v ...any)  { l.log(slog.LevelError, format, v) }
func (l *serverLog) Debugf(format string, v ...any)  { l.log(slog.LevelDebug, format, v) }
func (l *serverLog) Tracef(format string, v ...any)  { l.log(slog.LevelDebug, format, v) }

func (l *serverLog) Warnf(format string, v ...any) {
	// The passwords are in the memory of this process only, there is no
	// configuration file to read them from.
	if !strings.HasPrefix(format, "Plaintext passwords") {
		l.log(slog.LevelWarn, format, v)
	}
}

func (l *serverLog) Fatalf(format string, v ...any) {
	l.log(slog.LevelError, format, v)
	select {
	case l.fatal <- fmt.Sprintf(format, v...):
	default:
	}
}
