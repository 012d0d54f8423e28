# Leaves of a bill of a workspace what is built of it. Input: what is built, as an array of `name@version`. $all: the bill.
# $sources: where its sources lie, which is nobody's concern.
(map({(.): true}) | add) as $built
| $all[0]
| .components |= map(select($built[.name + "@" + .version]))
| ([.metadata.component["bom-ref"], .components[]["bom-ref"]] | map({(.): true}) | add) as $refs
| .dependencies |= map(select($refs[.ref]) | if .dependsOn then .dependsOn |= map(select($refs[.])) else . end)
| walk(if type == "string" then split($sources) | join("file:///src") else . end)
