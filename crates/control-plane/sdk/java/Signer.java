package @PACKAGE@;

import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.util.HexFormat;
import java.util.Map;
import java.util.TreeMap;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/** AWS's Signature Version 4. */
final class Signer {
    private static final DateTimeFormatter TIME = DateTimeFormatter.ofPattern("yyyyMMdd'T'HHmmss'Z'");
    private final String accessKey;
    private final String secretKey;
    private final String sessionToken;
    private final String region;

    Signer(String accessKey, String secretKey, String sessionToken, String region) {
        this.accessKey = accessKey;
        this.secretKey = secretKey;
        this.sessionToken = sessionToken;
        this.region = region;
    }

    /** The headers to add to a request; {@code query} is encoded and sorted. */
    Map<String, String> headers(String verb, String host, String path, String query, byte[] body) {
        String time = ZonedDateTime.now(ZoneOffset.UTC).format(TIME);
        String date = time.substring(0, 8);
        Map<String, String> signed = new TreeMap<>();
        signed.put("host", host);
        signed.put("x-amz-date", time);
        if (sessionToken != null) {
            signed.put("x-amz-security-token", sessionToken);
        }
        StringBuilder lines = new StringBuilder();
        signed.forEach((name, value) -> lines.append(name).append(':').append(value).append('\n'));
        String names = String.join(";", signed.keySet());
        // The path of a request is encoded once more in its signature.
        String encoded = Urls.encodePath(path);
        String canonical = String.join("\n", verb, encoded, query, lines.toString(), names, sha256(body));
        String scope = date + "/" + region + "/execute-api/aws4_request";
        String hash = sha256(canonical.getBytes(StandardCharsets.UTF_8));
        String toSign = String.join("\n", "AWS4-HMAC-SHA256", time, scope, hash);
        byte[] key = ("AWS4" + secretKey).getBytes(StandardCharsets.UTF_8);
        for (String part : new String[] {date, region, "execute-api", "aws4_request", toSign}) {
            key = hmac(key, part);
        }
        signed.remove("host");
        signed.put(
                "Authorization",
                "AWS4-HMAC-SHA256 Credential=" + accessKey + "/" + scope + ", SignedHeaders=" + names + ", Signature="
                        + HexFormat.of().formatHex(key));
        return signed;
    }

    private static String sha256(byte[] bytes) {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
        } catch (GeneralSecurityException missing) {
            throw new IllegalStateException(missing);
        }
    }

    private static byte[] hmac(byte[] key, String text) {
        try {
            Mac mac = Mac.getInstance("HmacSHA256");
            mac.init(new SecretKeySpec(key, "HmacSHA256"));
            return mac.doFinal(text.getBytes(StandardCharsets.UTF_8));
        } catch (GeneralSecurityException missing) {
            throw new IllegalStateException(missing);
        }
    }
}
