// Command greet says what built it.
package main

import (
	"fmt"
	"net/http"
	"runtime"
)

func main() { fmt.Println("built by", runtime.Version(), http.StatusText(http.StatusOK)) }
