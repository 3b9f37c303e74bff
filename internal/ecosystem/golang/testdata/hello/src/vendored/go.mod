module vendored.example/vendored

go 1.24.0

require dep.example/greet v1.0.0
