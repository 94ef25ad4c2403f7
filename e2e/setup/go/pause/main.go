// Command pause holds a pod's namespaces open: it waits for a signal and leaves. It stands in for the
// registry's pause image, which a machine without a registry cannot pull.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	<-signals
}
