package images

import "time"

var (
	epoch     = time.Unix(0, 0)
	fixedTime = time.Date(2020, 2, 2, 2, 2, 2, 0, time.UTC)
)
