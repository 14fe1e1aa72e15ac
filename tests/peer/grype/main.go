// Reads an SBOM the way grype does before it looks for vulnerabilities, and prints how
// many packages it could look up. Needs no vulnerability database.
//
//	go run . DOCUMENT.json      a document of any format that grype reads
//	go run . zarf:ARCHIVE       all documents in the sboms.tar of a package
//
// Exits with 1 if it reads no package.
package main

import (
	"fmt"
	"os"
	"sort"

	"github.com/anchore/grype/grype/pkg"
)

type counts struct{ packages, cpes, purls, either int }

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "expected a document, or zarf:ARCHIVE")
		os.Exit(2)
	}
	// What the document lacks is not added.
	packages, context, _, err := pkg.Provide(os.Args[1], pkg.ProviderConfig{})
	if err != nil {
		fmt.Fprintln(os.Stderr, "grype cannot read it:", err)
		os.Exit(1)
	}
	kinds := map[string]*counts{}
	all := &counts{}
	kinds["all"] = all
	for _, one := range packages {
		kind := kinds[string(one.Type)]
		if kind == nil {
			kind = &counts{}
			kinds[string(one.Type)] = kind
		}
		for _, count := range []*counts{kind, all} {
			count.packages++
			if len(one.CPEs) > 0 {
				count.cpes++
			}
			if one.PURL != "" {
				count.purls++
			}
			if len(one.CPEs) > 0 || one.PURL != "" {
				count.either++
			}
		}
	}
	names := []string{}
	for name := range kinds {
		names = append(names, name)
	}
	sort.Strings(names)
	fmt.Printf("%-24s %8s %8s %8s %8s\n", "type", "packages", "cpe", "purl", "either")
	for _, name := range names {
		row := kinds[name]
		fmt.Printf("%-24s %8d %8d %8d %8d\n", name, row.packages, row.cpes, row.purls, row.either)
	}
	if context.Distro != nil {
		fmt.Println("distribution:", context.Distro.String())
	}
	if all.packages == 0 {
		os.Exit(1)
	}
}
