//go:build !amd64

package main

import "errors"

var errNoOther = errors.New("this program knows no other numbers here")

func socket32(int, int) error { return errNoOther }

func socketX32(int, int) (int, error) { return -1, errNoOther }
