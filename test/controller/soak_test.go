package controller

import "os"

// soak says that the long proofs are asked for, as make soak does: more kills, idle minutes, and Lateen's own upgrade.
// Without it a test that has a long form proves the same by fewer steps.
func soak() bool { return os.Getenv("LATEEN_SOAK") != "" }
