"""The API that the web UI and the server in front use. ../../schema.yml is made from it (`make schema`)."""
