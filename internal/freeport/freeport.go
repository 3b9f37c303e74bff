// Package freeport finds ports for servers that have to be told one.
package freeport

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"syscall"
)

// Ports that are given lie below those that Linux gives to whoever asks for any (ip(7), ip_local_port_range: from 32768): one of
// those may be another's by the time that a server, which first has its data to make, listens on it.
const (
	first, end = 10000, 32768
	tries      = 100
)

// Get returns a TCP port, from 10000 to 32767, that nothing listens on at the loopback address 127.0.0.1.
func Get() (int, error) { return get(func() int { return first + rand.IntN(end-first) }) }

func get(next func() int) (int, error) {
	var err error
	for range tries {
		var l net.Listener
		port := next()
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return port, l.Close()
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	return 0, fmt.Errorf("find a free port: %w", err)
}
