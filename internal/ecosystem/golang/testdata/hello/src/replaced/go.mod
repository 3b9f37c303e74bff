module replaced.example/replaced

go 1.24.0

require generated.example/client v0.0.0

require golang.org/x/mod v0.27.0 // indirect

replace generated.example/client => ./gen/client
