package sandbox_test

import (
	"fmt"
	"os"
)

// builderMain is what the test binary does as a builder: it is then called by its store path's base name.
func builderMain() {
	if os.Args[0] != tool.Base() {
		return
	}
	switch os.Args[1] {
	case "hello":
		fmt.Println("hello")
	}
	os.Exit(0)
}
