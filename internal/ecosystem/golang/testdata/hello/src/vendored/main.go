// Command vendored has its dependency in a vendor folder.
package main

import (
	"fmt"

	"dep.example/greet"
)

func main() { fmt.Println(greet.Text) }
