// Package openapi locks and derives clients, servers and the like that openapi-generator makes of an OpenAPI document,
// "openapi" in a recipe.
//
// The generator is the exact version that the recipe's toolchains name ("openapi-generator: 7.14.0"), its command-line jar of
// a Maven repository, run by the root's Java (the package openjdk-21-jre-headless, say). A component is one node: it changes
// with the files that it sees, the generator and the options.
//
// Options of a component; paths are relative to its folder:
//
//	schema      the OpenAPI document; needed
//	generator   the generator's name, "go" or "typescript-fetch"; needed
//	properties  additional properties; "hideGenerationTimestamp" is true where it is not among them
//	config      a configuration file of the generator
//	templates   a folder with templates that take the place of the generator's own
//	args        further arguments of "generate", such as [--git-repo-id, client]
//	into        the folder to generate into; the default is "generated"
//
// The folder generated into is the output. A recipe's "build" commands run after the generator, in the component's folder,
// and its "output" says what to take instead.
package openapi
