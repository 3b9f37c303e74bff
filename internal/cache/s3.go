package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"golang.org/x/sync/errgroup"
)

// bucket is a cache in a bucket of S3 or of what speaks like it.
type bucket struct {
	name    string
	profile string
	client  *http.Client
	options Options
	config  s3.Options // all but credentials

	mu     sync.Mutex // guards what follows; held while the first asks
	api    *s3.Client // nil before the first request
	nobody error      // why requests are not signed; nil if they are
}

// Uploads of more than inParts bytes are sent in parts of partSize, or larger ones where that would make more than maxParts;
// the service wants 5 MiB and 10,000.
const (
	inParts      = 32 << 20
	partSize     = 16 << 20
	maxParts     = 10_000
	partsAtOnce  = 4 // of one file
	abortTimeout = 10 * time.Second
)

// maxAnswer bounds what is read of an answer that is no file, in bytes.
const maxAnswer = 64 << 10

var (
	bucketName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]$`)
	regionName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`)
)

// newBucket understands s3://BUCKET and the parameters of Nix's S3 stores that say where the bucket is. What is left out has Nix's
// default, so that an address means the same to both; none comes from the environment.
func newBucket(u *url.URL, o Options) (*bucket, error) {
	query, err := url.ParseQuery(u.RawQuery)
	switch {
	case err != nil:
		return nil, errors.New("what stands after ? does not parse")
	case u.User != nil:
		return nil, errors.New("credentials do not stand in the address: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile")
	case !bucketName.MatchString(u.Host):
		return nil, errors.New("want s3://BUCKET, with a bucket's name of letters, digits, dots and hyphens")
	case u.Path != "" && u.Path != "/":
		return nil, errors.New("a cache is a whole bucket: nothing stands after its name")
	}
	for name, values := range query {
		if !slices.Contains([]string{"endpoint", "region", "profile", "scheme", "addressing-style"}, name) {
			return nil, fmt.Errorf("parameter %q is not known: want endpoint, region, profile, scheme or addressing-style", name)
		}
		if len(values) > 1 {
			return nil, fmt.Errorf("parameter %q stands there twice", name)
		}
	}
	b := &bucket{name: u.Host, profile: query.Get("profile"), options: o, config: s3.Options{
		Region: query.Get("region"), AppID: "headwater", Retryer: aws.NopRetryer{}, // Cache.retry does that
		// What is sent and what comes is hashed in any case, and not all servers know the service's newer checksums.
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired, ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
	}}
	def(&b.config.Region, "us-east-1")
	if !regionName.MatchString(b.config.Region) {
		return nil, fmt.Errorf("region %q is none", b.config.Region)
	}
	if err := b.place(query); err != nil {
		return nil, err
	}
	b.client = &http.Client{Transport: shortAnswers{transport(o)}, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // a signature is for one address
	}}
	b.config.HTTPClient = b.client
	return b, nil
}

// place sets where requests go: to the endpoint, or, without one, where the service has the region.
func (b *bucket) place(query url.Values) error {
	endpoint, scheme := query.Get("endpoint"), query.Get("scheme")
	def(&scheme, "https")
	if scheme != "http" && scheme != "https" {
		return fmt.Errorf("scheme %q: want http or https", scheme)
	}
	if endpoint != "" {
		if !strings.Contains(endpoint, "://") {
			endpoint = scheme + "://" + endpoint
		}
		e, err := url.Parse(endpoint)
		if err != nil || e.Scheme != "http" && e.Scheme != "https" || e.Host == "" || e.User != nil || e.RawQuery != "" || e.Fragment != "" {
			return errors.New("endpoint: want HOST, HOST:PORT or a URL without credentials")
		}
		b.config.BaseEndpoint = aws.String(e.String())
	}
	b.config.EndpointOptions.DisableHTTPS = scheme == "http"
	switch style := query.Get("addressing-style"); style {
	case "", "auto":
		b.config.UsePathStyle = endpoint != "" || strings.Contains(b.name, ".") // certificates are for one label
	case "path":
		b.config.UsePathStyle = true
	case "virtual":
	default:
		return fmt.Errorf("addressing-style %q: want auto, path or virtual", style)
	}
	return nil
}

// shortAnswers bounds what is read of answers, all but files: the library reads those as a whole.
type shortAnswers struct{ *http.Transport }

// RoundTrip is http.RoundTripper's.
func (t shortAnswers) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.Transport.RoundTrip(req)
	if err == nil && (req.Method != http.MethodGet || resp.StatusCode != http.StatusOK) {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	}
	return resp, err
}

// connect looks for credentials, once. Where there are none, requests are not signed: a bucket may be public.
func (b *bucket) connect(ctx context.Context) (*s3.Client, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.api != nil {
		return b.api, nil
	}
	config := b.config
	config.Credentials, b.nobody = aws.AnonymousCredentials{}, errors.New("no credentials were given")
	if b.options.Credentials != nil {
		found, err := b.options.Credentials(ctx, b.profile)
		if err != nil {
			return nil, err
		}
		if _, err := found.Retrieve(ctx); err == nil {
			config.Credentials, b.nobody = found, nil
		} else if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		} else {
			b.nobody = fmt.Errorf("no credentials were found: %w", err)
		}
	}
	b.api = s3.New(config)
	return b.api, nil
}

// ServiceError is what an S3 service answered. It is a *StatusError too.
type ServiceError struct {
	Code    string // such as NoSuchBucket
	Message string // the service's
	status  StatusError
	nobody  error // why the request was not signed
}

func (e *ServiceError) Error() string {
	text := fmt.Sprintf("%v: %.60q %.300q", &e.status, e.Code, e.Message)
	if e.nobody != nil {
		text += "; the request was not signed, since " + e.nobody.Error()
	}
	return text
}

func (e *ServiceError) Unwrap() error { return &e.status }

// ofCredentials tells whether others would help.
func (e *ServiceError) ofCredentials() bool {
	return e.status.Code == http.StatusForbidden || e.status.Code == http.StatusUnauthorized || e.Code == "ExpiredToken" || e.Code == "InvalidToken"
}

// fault explains a failed request. name is the file's, "" if it is about none.
func (b *bucket) fault(ctx context.Context, name string, err error) error {
	var answer *awshttp.ResponseError
	if !errors.As(err, &answer) || answer.HTTPStatusCode() == 0 { // there was no answer
		var canceled *aws.RequestCanceledError
		if errors.As(err, &canceled) && ctx.Err() == nil {
			err = canceled.Err
		}
		return explain(ctx, err)
	}
	region := answer.Response.Header.Get("X-Amz-Bucket-Region")
	elsewhere := answer.HTTPStatusCode()/100 == 3 || answer.HTTPStatusCode() == http.StatusBadRequest
	if elsewhere && region != b.config.Region && regionName.MatchString(region) {
		return fmt.Errorf("%w: bucket %s is in another region than %s: say ?region=%s", ErrNoCache, b.name, b.config.Region, region)
	}
	e := &ServiceError{status: StatusError{answer.HTTPStatusCode()}, nobody: b.nobody}
	var api smithy.APIError
	if errors.As(err, &api) {
		e.Code, e.Message = api.ErrorCode(), api.ErrorMessage()
	}
	switch {
	case e.Code == "NoSuchBucket":
		return fmt.Errorf("%w: there is no bucket %s", ErrNoCache, b.name)
	case name != "" && (e.status.Code == http.StatusNotFound || e.status.Code == http.StatusGone):
		return fmt.Errorf("%s %w", name, ErrAbsent)
	case e.status.Code == http.StatusForbidden && name != "" && name != infoName && (e.Code == "AccessDenied" || e.Code == "Forbidden"):
		return fmt.Errorf("%s %w (%w)", name, ErrAbsent, e) // so it answers to who may not list what there is
	}
	return e
}

func (b *bucket) open(ctx context.Context, name string) (io.ReadCloser, int64, error) {
	key, err := keyOf(name)
	if err != nil {
		return nil, 0, err
	}
	api, err := b.connect(ctx)
	if err != nil {
		return nil, 0, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	out, err := api.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.name, Key: &key})
	if err != nil {
		err = b.fault(ctx, name, err)
		cancel(nil)
		return nil, 0, err
	}
	body := newStream(ctx, cancel, out.Body, b.options.Stall)
	if encoding := aws.ToString(out.ContentEncoding); encoding != "" && encoding != "identity" {
		return nil, 0, errors.Join(fmt.Errorf("%w: %s is encoded as %q, which is not known here", ErrFalse, name, encoding), body.Close())
	}
	size := int64(-1)
	if out.ContentLength != nil {
		size = *out.ContentLength
	}
	return body, size, nil
}

// keyOf is the key of a file that a narinfo may have named.
func keyOf(name string) (string, error) {
	u, err := url.Parse(name)
	if err != nil || u.RawQuery != "" {
		return "", fmt.Errorf("%w: %q is no name of a file in a bucket", ErrFalse, name)
	}
	return u.Path, nil
}

func (b *bucket) has(ctx context.Context, name string) (bool, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, b.options.Deadline, errSlow)
	defer cancel()
	api, err := b.connect(ctx)
	if err != nil {
		return false, err
	}
	_, err = api.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &b.name, Key: &name})
	if err == nil {
		return true, nil
	}
	if err := b.fault(ctx, name, err); !errors.Is(err, ErrAbsent) {
		return false, err
	}
	return false, nil
}

func (b *bucket) spoolDir() (string, error) { return "", nil }

func (b *bucket) closeIdle() { b.client.CloseIdleConnections() }

func (b *bucket) put(ctx context.Context, name string, s *spool) error {
	api, err := b.connect(ctx)
	if err != nil {
		return err
	}
	if s.size > inParts {
		return b.putParts(ctx, api, name, s)
	}
	return b.send(ctx, s.reader(), func(ctx context.Context, body io.Reader) error {
		_, err := api.PutObject(ctx, &s3.PutObjectInput{Bucket: &b.name, Key: &name, Body: body, ContentLength: &s.size, ContentType: &s.contentType})
		return err
	})
}

// send makes a request with a body, which is given up if it stalls.
func (b *bucket) send(ctx context.Context, body io.ReadSeeker, request func(context.Context, io.Reader) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	up := newUpload(cancel, b.options.Stall)
	defer up.timer.Stop()
	if err := request(ctx, &sent{body, up}); err != nil {
		return b.fault(ctx, "", err)
	}
	return nil
}

// sent counts what is read, also when that is to sign it.
type sent struct {
	io.ReadSeeker
	up *upload
}

func (s *sent) Read(p []byte) (int, error) {
	n, err := s.ReadSeeker.Read(p)
	s.up.moved.Add(int64(n))
	return n, err
}

// triedError is a fault after all tries.
type triedError struct{ error }

// putParts uploads in parts, each of which is tried again by itself. The file appears when all are there. What a failed upload
// leaves is deleted.
func (b *bucket) putParts(ctx context.Context, api *s3.Client, name string, s *spool) error {
	begun, err := api.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: &b.name, Key: &name, ContentType: &s.contentType})
	if err != nil {
		return b.fault(ctx, "", err)
	}
	done, err := b.sendParts(ctx, api, name, begun.UploadId, s)
	if err == nil {
		_, err = api.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
			Bucket: &b.name, Key: &name, UploadId: begun.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: done},
		})
		if err == nil {
			return nil
		}
		err = b.fault(ctx, "", err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout) // also if that is why it ends
	defer cancel()
	// Where this fails too, the bucket's own rule for unfinished uploads is left to do it; err says what is wrong.
	_, _ = api.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &b.name, Key: &name, UploadId: begun.UploadId})
	return err
}

// sendParts ends parts that are on their way also where another has failed: one that arrives after the upload was aborted would stay.
func (b *bucket) sendParts(ctx context.Context, api *s3.Client, name string, upload *string, s *spool) ([]types.CompletedPart, error) {
	size := max(partSize, (s.size+maxParts-1)/maxParts)
	parts := make([]types.CompletedPart, (s.size+size-1)/size)
	group, going := errgroup.WithContext(ctx)
	group.SetLimit(partsAtOnce)
	for i := range parts {
		number, at := int32(i+1), int64(i)*size
		group.Go(func() error {
			if going.Err() != nil {
				return context.Cause(going)
			}
			err := b.options.again(ctx, func() error {
				length := min(size, s.size-at)
				return b.send(ctx, io.NewSectionReader(s.reader(), at, length), func(ctx context.Context, body io.Reader) error {
					out, err := api.UploadPart(ctx, &s3.UploadPartInput{
						Bucket: &b.name, Key: &name, UploadId: upload, PartNumber: &number, Body: body, ContentLength: &length,
					})
					if err == nil {
						parts[i] = types.CompletedPart{PartNumber: &number, ETag: out.ETag}
					}
					return err
				})
			})
			if err != nil {
				return &triedError{fmt.Errorf("%s, part %s of %d: %w", name, strconv.Itoa(i+1), len(parts), err)}
			}
			return nil
		})
	}
	return parts, group.Wait()
}
