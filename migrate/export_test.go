package migrate

// What tests look up in the charts.
var (
	CNIGlobals  = cniGlobals
	ReservedEnv = reservedEnv
)
