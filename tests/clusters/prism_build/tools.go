//go:build tools

package tools

import _ "github.com/apache/beam/sdks/v2/go/cmd/prism"
