// The container that holds each pod's namespaces; no dependency, so there is no go.sum.
module pushcluster.e2e/pause

go 1.26.0
