package main

import (
	"bytes"
	"encoding/json"
)

// region is one entry of regions.
type region struct {
	Provider         string `json:"provider"`
	CloudRegion      string `json:"cloudRegion"`
	ControlPlaneSize string `json:"controlPlaneSize"`
	WorkerSize       string `json:"workerSize"`
	WorkerCount      int64  `json:"workerCount"`
}

// request has the keys of a create's body that hold on every cloud.
type request struct {
	OrgName              string   `json:"orgName"`
	OrgEmail             string   `json:"orgEmail"`
	SovereignFQDN        string   `json:"sovereignFQDN"`
	SovereignDomainMode  string   `json:"sovereignDomainMode"`
	SovereignPoolDomain  string   `json:"sovereignPoolDomain"`
	SovereignSubdomain   string   `json:"sovereignSubdomain"`
	Region               string   `json:"region"`
	ControlPlaneSize     string   `json:"controlPlaneSize"`
	WorkerSize           string   `json:"workerSize"`
	WorkerCount          int64    `json:"workerCount"`
	HAEnabled            bool     `json:"haEnabled"`
	Regions              []region `json:"regions"`
	SSHPublicKey         string   `json:"sshPublicKey"`
	ExpectedRenderDigest string   `json:"expectedRenderDigest"`
	// RehearsalToken is a key of one cloud, whose type is its own matter.
	RehearsalToken any `json:"rehearsalToken"`
}

// requestAnswer is what encoding/json reads: keys in any case, the last of those that stand twice, the first value only.
type requestAnswer struct {
	Error   string   `json:"error,omitempty"`
	Request *request `json:"request,omitempty"`
}

func readRequest(document []byte) any {
	var read request
	if err := json.NewDecoder(bytes.NewReader(document)).Decode(&read); err != nil {
		return requestAnswer{Error: err.Error()}
	}
	return requestAnswer{Request: &read}
}
