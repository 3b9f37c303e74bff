package service

import (
	"fmt"
	"regexp"
	"strconv"
	"syscall"
)

// mariadb is MariaDB (MariaDB Server documentation, "mariadb-install-db", "mariadbd Options", "Information Schema").
type mariadb struct{}

func (mariadb) Facts() Facts {
	f := Facts{
		Name: "mariadb", Title: "MariaDB", Port: 3306, Values: []string{User, Database},
		Faults: regexp.MustCompile(`\[ERROR\]|mariadbd got signal|Out of memory`),
	}
	for _, i := range []Image{{Name: "mariadb", Version: "11"}, {Name: "mysql", Product: "MariaDB"}, {Name: "percona", Product: "MariaDB"}, {Name: "mysql-server", Product: "MariaDB"}} {
		i.Packages = []string{"mariadb-server-core", "mariadb-client-core"}
		f.Images = append(f.Images, i)
	}
	return f
}

// shape lists columns, indices and constraints of all tables that are not the server's own.
const shape = `SELECT 'column', c.table_schema, c.table_name, c.ordinal_position, c.column_name, c.column_type, c.is_nullable, c.column_default, c.extra
  FROM information_schema.columns c WHERE c.table_schema = 'app' ORDER BY 2, 3, 4;
SELECT 'index', table_name, index_name, seq_in_index, column_name, sub_part, non_unique FROM information_schema.statistics WHERE table_schema = 'app' ORDER BY 2, 3, 4;
SELECT 'reference', table_name, constraint_name, referenced_table_name, update_rule, delete_rule FROM information_schema.referential_constraints
  WHERE constraint_schema = 'app' ORDER BY 2, 3;
`

func (mariadb) Server(i Instance) (Server, error) {
	if _, _, ok := program(i.Root, "/usr/sbin/mariadbd"); !ok {
		return Server{}, fmt.Errorf("the root has no /usr/sbin/mariadbd: add mariadb-server-core to its packages")
	}
	port := strconv.Itoa(i.Port)
	// Privileges are known to a server of that mode only once they are read; the users that installing made are for a machine's own people.
	first := fmt.Sprintf(`DELETE FROM mysql.global_priv WHERE User <> 'mariadb.sys';
FLUSH PRIVILEGES;
CREATE DATABASE %s CHARACTER SET utf8mb4;
CREATE USER %s@'%%' IDENTIFIED BY '%s';
GRANT ALL PRIVILEGES ON *.* TO %[2]s@'%%' WITH GRANT OPTION;
`, database, user, i.Password)
	client := func(args ...string) Command {
		return Command{Program: "mariadb", Args: append([]string{"--defaults-file=" + RunDir + "/client.cnf", "--batch", "--skip-column-names"}, args...)}
	}
	look := client(database)
	look.Stdin = shape
	return Server{
		Path:  "/usr/sbin:/usr/bin",
		Files: map[string]string{"client.cnf": fmt.Sprintf("[client]\nprotocol=tcp\nhost=127.0.0.1\nport=%s\nuser=%s\npassword=%s\n", port, user, i.Password)},
		Init: []Command{
			{Program: "mariadb-install-db", Args: []string{"--no-defaults", "--datadir=" + DataDir, "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"}},
			{Program: "mariadbd", Args: []string{"--no-defaults", "--bootstrap", "--datadir=" + DataDir}, Stdin: first},
		},
		Run: Command{Program: "mariadbd", Args: []string{
			"--no-defaults", "--datadir=" + DataDir, "--bind-address=127.0.0.1", "--port=" + port, "--socket=" + RunDir + "/mariadb.sock", "--pid-file=" + RunDir + "/mariadb.pid",
			"--skip-name-resolve", "--character-set-server=utf8mb4",
		}},
		Stop:   syscall.SIGTERM,
		Ready:  client("--execute=SELECT 1"),
		Shape:  &look,
		Values: map[string]string{User: user, Database: database},
	}, nil
}
