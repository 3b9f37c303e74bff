module gatehouse.example/gatehouse

go 1.25.0
