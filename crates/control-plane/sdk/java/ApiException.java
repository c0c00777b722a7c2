package @PACKAGE@;

import java.nio.charset.StandardCharsets;

/** An answer that is no success. */
public class @SERVICE@Exception extends RuntimeException {
    private static final long serialVersionUID = 1L;
    private final int statusCode;
    private final byte[] body;

    @SERVICE@Exception(int statusCode, byte[] body) {
        super("the API answered " + statusCode + ": " + new String(body, StandardCharsets.UTF_8));
        this.statusCode = statusCode;
        this.body = body;
    }

    /** The status. */
    public int statusCode() {
        return statusCode;
    }

    /** The body as text. */
    public String body() {
        return new String(body, StandardCharsets.UTF_8);
    }
}
