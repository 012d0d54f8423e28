# A bill of Debian packages. Input: lines of name, version, architecture, source and its version. $system: such as debian-12.
($system | split("-")[0]) as $vendor
| split("\n") | map(select(. != "") | split(" "))
| {
    bomFormat: "CycloneDX", specVersion: "1.5", version: 1,
    metadata: {component: {type: "operating-system", "bom-ref": $system, name: $vendor, version: ($system | split("-")[1] // "")}},
    components: map(
        (.[1] | @uri) as $version
        | "pkg:deb/\($vendor)/\(.[0])@\($version)?arch=\(.[2])&distro=\($system)" as $purl
        | {type: "library", "bom-ref": $purl, name: .[0], version: .[1], purl: $purl,
           properties: [{name: "debian:source", value: "\(.[3]) \(.[4])"}]}
    )
}
| .dependencies = [{ref: $system, dependsOn: [.components[]["bom-ref"]]}]
