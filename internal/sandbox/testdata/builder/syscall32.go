package main

import "fmt"

func getpid32() int32

// syscall32 makes a 32-bit system call: the filter does not know those.
func syscall32() { fmt.Println(getpid32()) }
