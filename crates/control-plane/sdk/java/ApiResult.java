package @PACKAGE@;

import java.net.http.HttpHeaders;
import java.nio.charset.StandardCharsets;
import java.util.Optional;

/** What all results have: a status, headers and a body. */
public abstract class ApiResult {
    private final int statusCode;
    private final HttpHeaders headers;
    private final byte[] body;

    protected ApiResult(int statusCode, HttpHeaders headers, byte[] body) {
        this.statusCode = statusCode;
        this.headers = headers;
        this.body = body;
    }

    /** The status, 200 to 299. */
    public int statusCode() {
        return statusCode;
    }

    /** The first header of this name. */
    public Optional<String> header(String name) {
        return headers.firstValue(name);
    }

    /** The body as text. */
    public String body() {
        return new String(body, StandardCharsets.UTF_8);
    }

    /** The body as it came. */
    public byte[] bodyBytes() {
        return body.clone();
    }
}
