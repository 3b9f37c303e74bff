package sandbox

// For the external tests.

func EncodeSpec(s Spec) (string, error) { return s.encode() }

func DecodeSpec(wire string) (Spec, error) { return decodeSpec(wire) }

func ParseFault(b []byte) error { return parseFault(b) }

func EncodeFault(step string, err error) []byte { return faultOf(step, err).encode() }

func Diagnose(euid int, sysctl func(string) string, step string, err error) error {
	return machine{euid, sysctl}.diagnose(step, err)
}

const StepProc = stepProc
