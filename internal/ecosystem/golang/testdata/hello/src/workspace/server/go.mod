module workspace.example/server

go 1.24.0
