package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"
)

// A far address that answers nothing is not reached; the kernel says at once what it forbids.
const patience = 2 * time.Second

func connect(network, address string) error {
	connection, err := net.DialTimeout(network, address, patience)
	if err != nil {
		return err
	}
	return connection.Close()
}

func callHost(t targets) error { return connect("tcp", t.HostAPI) }
func callHostByMultipath(t targets) error {
	dialer := net.Dialer{Timeout: patience}
	dialer.SetMultipathTCP(true)
	connection, err := dialer.Dial("tcp", t.HostAPI)
	if err != nil {
		return err
	}
	return connection.Close()
}

func callBackend(t targets) error { return connect("tcp", t.OtherBackend) }
func callForeign(t targets) error { return connect("tcp", t.ForeignAddress) }

// The way out is open where somebody answers, also by a refusal: only the kernel may stop it.
func callForeignByProxyPort(t targets) error {
	proxy, err := proxyOfRun()
	if err != nil {
		return err
	}
	host, _, err := net.SplitHostPort(t.ForeignAddress)
	if err != nil {
		return err
	}
	err = leaves(connect("tcp", net.JoinHostPort(host, proxy.Port())))
	if errors.Is(err, syscall.ECONNREFUSED) {
		return nil
	}
	return err
}

func askForOther(targets) error    { return ask("not-granted.example.org:443") }
func askForMetadata(targets) error { return ask("169.254.169.254:80") }

func proxyOfRun() (*url.URL, error) { return url.Parse(os.Getenv("HTTPS_PROXY")) }

// Asks the proxy of the run, with the password that the run has, for a connection.
func ask(target string) error {
	proxy, err := proxyOfRun()
	if err != nil {
		return err
	}
	connection, err := net.DialTimeout("tcp", proxy.Host, patience)
	if err != nil {
		return err
	}
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(patience))
	basic := base64.StdEncoding.EncodeToString([]byte(proxy.User.String()))
	_, err = fmt.Fprintf(connection, "CONNECT %s HTTP/1.1\r\nHost: %s\r\nProxy-Authorization: Basic %s\r\n\r\n", target, target, basic)
	if err != nil {
		return err
	}
	line, err := bufio.NewReader(connection).ReadString('\n')
	if err != nil {
		return err
	}
	if !strings.HasPrefix(line, "HTTP/1.1 200") {
		return errors.New(strings.TrimSpace(line))
	}
	return nil
}

// Reached, or on its way: without a fence the packets leave, whoever answers them.
func leaves(err error) error {
	if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
		return nil
	}
	return err
}

func callMetadata(targets) error { return leaves(connect("tcp", "169.254.169.254:80")) }
func callInternet(targets) error { return leaves(connect("tcp", "1.1.1.1:443")) }

func lookUp(t targets) error {
	// By a server of the test: whether a question leaves does not depend on the machine's resolver.
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "udp", t.UDP)
	}
	resolver := net.Resolver{PreferGo: true, Dial: dial}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := resolver.LookupHost(ctx, "catalyst.example.org.")
	return err
}

func sendDatagram(t targets) error {
	connection, err := net.Dial("udp", t.UDP)
	if err != nil {
		return err
	}
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(patience))
	if _, err := connection.Write([]byte("ping")); err != nil {
		return err
	}
	_, err = connection.Read(make([]byte, 64))
	return err
}

func rawSocket(targets) error {
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_RAW, syscall.IPPROTO_ICMP)
	if err != nil {
		return err
	}
	return syscall.Close(socket)
}

func abstractSocket(t targets) error { return connect("unix", "@"+t.AbstractSocket) }
func pathSocket(t targets) error     { return connect("unix", t.PathSocket) }

func listen(t targets) error {
	listener, err := net.Listen("tcp", t.ListenAt)
	if err != nil {
		return err
	}
	defer listener.Close()
	// The test connects all the time.
	_ = listener.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
	connection, err := listener.Accept()
	if err != nil {
		return err
	}
	return connection.Close()
}
