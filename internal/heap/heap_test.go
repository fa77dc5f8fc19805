package heap

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

// percent is GOGC as it is in force.
func percent() uint64 {
	sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

func TestFirstCollection(t *testing.T) {
	if _, set := os.LookupEnv("GOGC"); set {
		if postponed || percent() == 100*first/smallest {
			t.Error("who sets GOGC decides")
		}
		return
	}
	if !postponed {
		t.Fatal("the first collection is not postponed")
	}
	if reserve == nil && percent() != 100*first/smallest {
		t.Errorf("GOGC is %d before the first collection, so it does not come at %d bytes", percent(), first)
	}
	runtime.GC()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	for percent() != 100 { // the exception ends on a goroutine of its own
		if ctx.Err() != nil {
			t.Fatal("the collector never went back to its usual pace")
		}
		runtime.Gosched()
	}
	if len(reserve) != slack {
		t.Errorf("the reserve has %d bytes, not %d", len(reserve), slack)
	}
	if got := debug.SetGCPercent(100); got != 100 {
		t.Errorf("GOGC is %d afterwards", got)
	}
}
